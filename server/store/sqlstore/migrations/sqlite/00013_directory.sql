-- +goose Up
-- Which device of the directory a device is, as its token said when it enrolled.

ALTER TABLE facts ADD COLUMN directory TEXT NOT NULL DEFAULT '';
