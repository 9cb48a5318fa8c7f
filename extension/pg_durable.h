/* What the files of the library pg_durable share. */
#ifndef PG_DURABLE_H
#define PG_DURABLE_H

#include "utils/guc.h"

/* A setting that is a number. */
typedef struct
{
	const char *name;
	const char *purpose;
	int			value;			/* the default, at first */
	int			least;
	int			most;
	GucContext	context;
	bool		of_worker;		/* the worker is told of it */
} Number;

/* The settings pg_durable.*; pg_durable.c. */
extern char *worker_role;
extern char *databases;
extern char *worker_command;
extern Number numbers[];
extern const int number_count;
extern bool preloaded;

/* What background processes run; launcher.c and start_new.c. */
extern PGDLLEXPORT void pg_durable_launcher(Datum unused);
extern PGDLLEXPORT void pg_durable_start_new(Datum handle);

#endif
