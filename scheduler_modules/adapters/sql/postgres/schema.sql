-- name: schema_versions
select version_num from scheduler_alembic_version
