-- +goose Up
-- Until when a device that was told to leave may say so with its revoked identity; 0: it may not.

ALTER TABLE credentials ADD COLUMN farewell INTEGER NOT NULL DEFAULT 0;
