-- +goose Up
-- Users who enrol devices for others, by a device limit of their own.

ALTER TABLE users ADD COLUMN manager INTEGER NOT NULL DEFAULT 0;
