-- `request` holds the request's columns, event_time (what is asked about) and prediction_time (when it is asked).
select
  extract(hour from event_time) as hour,
  extract(dow from event_time) as weekday,
  extract(month from event_time) as month,
  24 * extract(dow from event_time) + extract(hour from event_time) as hour_of_week
from request
