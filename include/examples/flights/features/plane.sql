-- A snapshot has no event time of its own: its rows count from when they were known.
select
  tailnum, known_at as registered_at, known_at,
  (extract(year from known_at at time zone 'America/New_York') - year)::double as plane_age,
  seats
from planes
