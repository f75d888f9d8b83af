-- By the time of arrival, not of departure: a flight counts from the moment when its outcome was known.
with ticks as (
  select unnest(range($start, $end, interval 30 minutes)) as event_time
),
windows as (
  select
    origin, ticks.event_time, max(known_at) as newest,
    avg(late) filter (where settled_at > ticks.event_time - interval 2 hours) as late_share_2h,
    avg(arr_delay) filter (where settled_at > ticks.event_time - interval 2 hours) as delay_2h,
    avg(late) as late_share_6h,
    avg(arr_delay) as delay_6h
  from ticks
  join flights
    on settled_at <= ticks.event_time and settled_at > ticks.event_time - interval 6 hours
  where arr_delay is not null
  group by all
)
select * exclude (newest), greatest(newest, event_time) as known_at
from windows
