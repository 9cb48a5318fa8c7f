/*
 * The library for shared_preload_libraries: its settings, and the registration of the launcher.
 *
 * Loaded later, by a function of its, it defines and starts nothing. docs/launcher.md says what
 * users see.
 */
#include "postgres.h"

#include "fmgr.h"
#include "miscadmin.h"
#include "pg_durable.h"
#include "postmaster/bgworker.h"
#include "utils/varlena.h"

PG_MODULE_MAGIC;

extern PGDLLEXPORT void _PG_init(void);

char	   *worker_role;
char	   *databases;
char	   *worker_command;
bool		preloaded = false;
static bool enable_superuser_instances;

Number		numbers[] = {
	{"pg_durable.max_management_connections", "Connections for claiming and recording.",
	6, 1, 1000, PGC_POSTMASTER, true},
	{"pg_durable.max_duroxide_connections", "Connections of the engine.",
	10, 1, 1000, PGC_POSTMASTER, true},
	{"pg_durable.max_user_connections", "SQL steps that run at the same time.",
	10, 1, 1000, PGC_POSTMASTER, true},
	{"pg_durable.execution_acquire_timeout",
		"Seconds that an SQL step waits for a connection before it fails; 0: however long.",
	0, 0, 3600, PGC_POSTMASTER, true},
	{"pg_durable.retention_days", "Days that finished instances are kept.",
	30, 0, 36500, PGC_POSTMASTER, true},
	{"pg_durable.reconcile_interval", "Seconds between removals of old instances; 0: none.",
	3600, 0, 86400, PGC_POSTMASTER, true},
	{"pg_durable.max_new_transaction_starts", "Starts in mode 'new' at the same time.",
	2, 1, 1000, PGC_POSTMASTER, false},
	{"pg_durable.new_transaction_start_timeout", "Seconds that such a start waits for its turn.",
	5, 1, 3600, PGC_POSTMASTER, false},
	{"pg_durable.list_instances_max_limit", "The most rows of one call of df.list_instances.",
	1000, 1, 1000000, PGC_SUSET, false},
};
const int	number_count = lengthof(numbers);

static bool
check_databases(char **value, void **extra, GucSource source)
{
	List	   *names;

	if (SplitGUCList(pstrdup(*value), ',', &names) && names != NIL)
		return true;
	GUC_check_errdetail("It must name one database, or several separated by commas.");
	return false;
}

static void
define_text(const char *name, const char *purpose, char **value, const char *initial,
			GucStringCheckHook check)
{
	DefineCustomStringVariable(name, purpose, NULL, value, initial, PGC_POSTMASTER, 0,
							   check, NULL, NULL);
}

void
_PG_init(void)
{
	BackgroundWorker launcher = {0};

	if (!process_shared_preload_libraries_in_progress)
		return;
	preloaded = true;

	define_text("pg_durable.worker_role", "Role the worker logs in as.",
				&worker_role, "postgres", NULL);
	define_text("pg_durable.database", "Databases the worker serves, separated by commas.",
				&databases, "postgres", check_databases);
	define_text("pg_durable.worker_command",
				"The program pg-durable, with arguments, as the shell reads it; empty: none.",
				&worker_command, "pg-durable", NULL);
	/* Not hidden: df.start and the worker read it with the rights of whoever they are. */
	DefineCustomBoolVariable("pg_durable.enable_superuser_instances",
							 "Whether superusers may have instances.", NULL,
							 &enable_superuser_instances, false, PGC_POSTMASTER, 0,
							 NULL, NULL, NULL);
	for (Number *n = numbers; n < numbers + number_count; n++)
		DefineCustomIntVariable(n->name, n->purpose, NULL, &n->value, n->value,
								n->least, n->most, n->context, 0, NULL, NULL, NULL);

	if (*worker_command == '\0')
		return;
	launcher.bgw_flags = BGWORKER_SHMEM_ACCESS;
	launcher.bgw_start_time = BgWorkerStart_RecoveryFinished;
	launcher.bgw_restart_time = 1;
	strlcpy(launcher.bgw_name, "pg_durable launcher", BGW_MAXLEN);
	strlcpy(launcher.bgw_type, "pg_durable launcher", BGW_MAXLEN);
	strlcpy(launcher.bgw_library_name, "pg_durable", MAXPGPATH);
	strlcpy(launcher.bgw_function_name, "pg_durable_launcher", BGW_MAXLEN);
	RegisterBackgroundWorker(&launcher);
}
