-- name: group_counts
select coalesce(p.group_name, ''), case when q.status in {processing} then 1 else 0 end, count(*)
  from {project_tables}
 where q.status in {processing} or q.status in {queued}
 group by 1, 2
