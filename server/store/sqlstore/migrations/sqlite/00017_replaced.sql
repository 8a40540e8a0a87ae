-- +goose Up
-- When the device had enrolled whose place this one took (HST-032), 0: none. While it enrolled, that stood where its own time stands later.

ALTER TABLE devices ADD COLUMN replaced_at INTEGER NOT NULL DEFAULT 0;
UPDATE devices SET replaced_at=enrolled_at, enrolled_at=0 WHERE life=1;
