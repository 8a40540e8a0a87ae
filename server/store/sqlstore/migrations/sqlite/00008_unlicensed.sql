-- +goose Up
-- Whether an administrator may change the authority without a licence that entitles Intune (AUTH-08).

ALTER TABLE settings ADD COLUMN unlicensed_admins INTEGER NOT NULL DEFAULT 0;
