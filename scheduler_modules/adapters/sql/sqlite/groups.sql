-- part: running_in_group
-- How many projects of group `g` are processing. The join with `project_queue` passes over a row
-- that another program replaced unseen.
case g.name
            when '' then (select count(*) from project_queue where status in {processing})
                         - (select count(*) from project_running busy
                              cross join project_queue x on x.id = busy.project_id)
            else (select count(*) from project_running busy
                    cross join project_queue x on x.id = busy.project_id
                   where busy.group_name = g.name)
        end

-- name: group_counts
-- Most projects are in the default group: those of the others are counted, the rest is its.
with named(name, queued) as (
    select p.group_name, count(*)
      from project_plan p cross join project_queue q on q.id = p.project_id
     where p.group_name <> '' and q.status in {queued}
     group by p.group_name)
select name, 0, queued from named
union all
select '', 0, (select count(*) from project_queue where status in {queued})
              - (select coalesce(sum(queued), 0) from named)
union all
select g.name, 1, {running_in_group} from project_group g
