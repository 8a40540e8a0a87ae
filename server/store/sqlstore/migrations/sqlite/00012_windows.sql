-- +goose Up
-- What a Windows device says of itself when it enrols: its hardware, and whatever else.

ALTER TABLE facts ADD COLUMN hardware TEXT NOT NULL DEFAULT '';
ALTER TABLE facts ADD COLUMN said     TEXT NOT NULL DEFAULT '';
