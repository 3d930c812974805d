"""The parts of `RankWatchdog`."""
