select
  origin, time_hour, known_at,
  temp, humid, wind_speed, coalesce(wind_gust, 0) as wind_gust, precip, pressure, visib
from weather
where time_hour >= $start and time_hour < $end
