-- +goose Up
-- A device that missed to register in an epoch gets its profiles again, once (AUTH-21).

ALTER TABLE devices ADD COLUMN fresh INTEGER NOT NULL DEFAULT 0;
