with local as (
  select event_time at time zone 'America/New_York' as departure, sched_arr_time from request
)
select
  extract(hour from departure) as hour,
  60 * extract(hour from departure) + extract(minute from departure) as minute_of_day,
  extract(dow from departure) as weekday,
  sched_arr_time // 100 + (sched_arr_time % 100) / 60 as arrival_hour
from local
