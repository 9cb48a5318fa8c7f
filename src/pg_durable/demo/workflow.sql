-- A year of flights: load month by month, clean, aggregate three ways at once, judge, report.
select df.start(
     'insert into flights select f.* from flights_raw f, nextval(''load_attempts'') where month = 1'
  ~> 'insert into flights select f.* from flights_raw f, nextval(''load_attempts'') where month = 2'
  ~> 'insert into flights select f.* from flights_raw f, nextval(''load_attempts'') where month = 3'
  ~> 'insert into flights select f.* from flights_raw f, nextval(''load_attempts'') where month = 4'
  ~> 'insert into flights select f.* from flights_raw f, nextval(''load_attempts'') where month = 5'
  ~> 'insert into flights select f.* from flights_raw f, nextval(''load_attempts'') where month = 6'
  ~> 'insert into flights select f.* from flights_raw f, nextval(''load_attempts'') where month = 7'
  ~> 'insert into flights select f.* from flights_raw f, nextval(''load_attempts'') where month = 8'
  ~> 'insert into flights select f.* from flights_raw f, nextval(''load_attempts'') where month = 9'
  ~> 'insert into flights select f.* from flights_raw f, nextval(''load_attempts'') where month = 10'
  ~> 'insert into flights select f.* from flights_raw f, nextval(''load_attempts'') where month = 11'
  ~> 'insert into flights select f.* from flights_raw f, nextval(''load_attempts'') where month = 12'
  ~> 'with gone as (delete from flights where dep_time is null returning *)
      insert into cancelled_flights select * from gone'
  ~> df.join3(
       'insert into delay_by_airline
        select carrier, count(*), round(avg(dep_delay)::numeric, 1) from flights group by 1',
       'insert into delay_by_origin
        select origin, count(*), round(avg(dep_delay)::numeric, 1) from flights group by 1',
       'insert into delay_by_hour
        select hour, count(*), round(avg(dep_delay)::numeric, 1) from flights group by 1')
  ~> ('select round(avg(dep_delay)::numeric, 1) as delay from flights' |=> 'mean')
  ~> ('select $mean.delay::numeric > 12'
        ?> 'insert into alerts values (''The mean departure delay was '' || $mean.delay || '' minutes.'')'
        !> 'select ''a punctual year''')
  ~> 'select a.name as airline, d.flights, d.mean_delay as "mean delay (min)"
      from delay_by_airline d join airlines a using (carrier) order by d.mean_delay desc limit 5'
, 'flights-2013')
