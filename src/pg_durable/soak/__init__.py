"""The soak: load for half an hour at most of the peak rate; what must not grow is watched.

| module    | what it holds                                                      |
|-----------|--------------------------------------------------------------------|
| mix       | the workflows, and how many steps each has                         |
| drive     | starting them, by a rate or as fast as they end                    |
| look      | one look at the database, and one at the processes                 |
| window    | what two looks make of the time between them: one row of the series |
| judge     | whether a series grows: pure                                       |
| report    | the table and the JSON document                                    |
| run       | the phases in their order                                          |
"""
