-- +goose Up
-- The clock was set and nobody has confirmed it: the doubt outlives a restart (HST-110).

CREATE TABLE clock (
  one INTEGER PRIMARY KEY CHECK (one = 1),
  at  INTEGER NOT NULL, -- what the clock said when it was set
  off INTEGER NOT NULL  -- nanoseconds ahead of the time that had passed; 0: the clock is trusted
) STRICT;
