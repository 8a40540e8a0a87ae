-- +goose Up
-- More times of the rules that are settings (AUTH-21, AUTH-47, AUTH-53); nanoseconds, 0 is the default.

ALTER TABLE settings ADD COLUMN cadence INTEGER NOT NULL DEFAULT 0;
ALTER TABLE settings ADD COLUMN counted INTEGER NOT NULL DEFAULT 0;
ALTER TABLE settings ADD COLUMN reach   INTEGER NOT NULL DEFAULT 0;
