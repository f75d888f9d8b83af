-- One row per hour of the interval: what the hours up to and including it add up to.
with counted as (
  select
    event_time,
    max(known_at) over last_day as known_at,
    cnt::double as demand_last_hour,
    avg(cnt) over last_day as demand_day,
    avg(cnt) over last_week as demand_week,
    avg(cnt) over last_month as demand_month
  from rides
  window
    last_day as (order by event_time range between interval 23 hours preceding and current row),
    last_week as (order by event_time range between interval 167 hours preceding and current row),
    last_month as (order by event_time range between interval 671 hours preceding and current row)
)
select * from counted
where event_time >= $start and event_time < $end
