/*
 * The library for shared_preload_libraries: settings; the launcher, a background process that
 * keeps the worker running beside the server; and starts in mode 'new'. What users see of it is
 * in docs/launcher.md; what the worker finds out of the server by itself, in cli/launched.py.
 */
#include "postgres.h"

#include <fcntl.h>
#include <spawn.h>
#include <sys/wait.h>

#include "access/xact.h"
#include "executor/spi.h"
#include "fmgr.h"
#include "mb/pg_wchar.h"
#include "miscadmin.h"
#include "pgstat.h"
#include "postmaster/bgworker.h"
#include "postmaster/interrupt.h"
#include "storage/ipc.h"
#include "storage/latch.h"
#include "tcop/tcopprot.h"
#include "utils/builtins.h"
#include "utils/snapmgr.h"
#include "utils/timeout.h"
#include "utils/timestamp.h"
#include "utils/varlena.h"

#define LONGEST_PAUSE 60		/* seconds without a worker, if it has not lived for longer */
#define LONGEST_ANSWER 16383	/* bytes; a message that is longer is cut */

static char *worker_role;
static char *databases;
static char *worker_command;
static bool superusers_too;
static struct
{
	const char *name;
	const char *purpose;
	int			value, least, most; /* first, the value is the default */
	GucContext	context;
}			numbers[] = {
	{"max_management_connections", "Connections for recording.", 6, 1, 1000, PGC_POSTMASTER},
	{"max_duroxide_connections", "Connections for claiming.", 10, 1, 1000, PGC_POSTMASTER},
	{"max_user_connections", "SQL steps at the same time.", 10, 1, 1000, PGC_POSTMASTER},
	{"execution_acquire_timeout", "Seconds that a step may wait.", 0, 0, 3600, PGC_POSTMASTER},
	{"max_new_transaction_starts", "Starts in mode 'new' at a time.", 2, 1, 1000, PGC_POSTMASTER},
	{"new_transaction_start_timeout", "Seconds these may wait.", 5, 1, 3600, PGC_POSTMASTER},
	{"retention_days", "Days that ended instances are kept.", 30, 0, 36500, PGC_POSTMASTER},
	{"reconcile_interval", "Seconds between their removals.", 3600, 0, 86400, PGC_POSTMASTER},
	{"list_instances_max_limit", "The most rows of one list.", 1000, 1, 1000000, PGC_SUSET},
};

/* What a start in mode 'new' answers; each is empty at first. */
enum {ID, STAGE, STATE, MESSAGE, DETAIL, HINT, ANSWERS};

/* A command for a background worker, in shared memory. */
typedef struct
{
	volatile bool given_up;
	BackgroundWorkerHandle *handle; /* the caller's */
	Oid			database;
	Oid			role;
	char		answers[ANSWERS][LONGEST_ANSWER + 1];
	char		command[FLEXIBLE_ARRAY_MEMBER];
} Errand;

static Errand *errand;			/* the background worker's */
static emit_log_hook_type next_hook;

extern PGDLLEXPORT void _PG_init(void);
extern PGDLLEXPORT void pg_durable_launcher(Datum unused);
extern PGDLLEXPORT void pg_durable_start_new(Datum handle);

PG_MODULE_MAGIC;
PG_FUNCTION_INFO_V1(start_in_background);

/* Start the worker, in a process group of its own. Its input ends when we do, and it with that. */
static pid_t
start_worker(void)
{
	static int	input[2] = {-1, -1};
	char	   *arguments[] = {"sh", "-c", psprintf("exec %s \"$@\"", worker_command),
	"pg_durable", "launched", worker_role, databases, NULL};
	posix_spawnattr_t attributes;
	posix_spawn_file_actions_t actions;
	pid_t		worker;

	close(input[1]);			/* that of the worker before */
	if (pipe(input) != 0 || fcntl(input[1], F_SETFD, FD_CLOEXEC) != 0)
		ereport(ERROR, (errmsg("pg_durable: there is no pipe for the worker: %m")));
	posix_spawnattr_init(&attributes);
	posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETPGROUP);
	posix_spawn_file_actions_init(&actions);
	posix_spawn_file_actions_adddup2(&actions, input[0], STDIN_FILENO);
	posix_spawn_file_actions_adddup2(&actions, STDERR_FILENO, STDOUT_FILENO);
	errno = posix_spawn(&worker, "/bin/sh", &actions, &attributes, arguments, environ);
	if (errno != 0)
		ereport(ERROR, (errmsg("pg_durable: the worker could not be started: %m")));
	close(input[0]);
	ereport(LOG, (errmsg("pg_durable: started the worker, process %d", (int) worker)));
	return worker;
}

void
pg_durable_launcher(Datum unused)
{
	int			pause = 1;		/* seconds until a worker that ended is started again */
	int			status;
	pid_t		worker = 0;
	TimestampTz start = 0;		/* of the worker that runs, or the next one */
	TimestampTz patience = 0;

	pqsignal(SIGTERM, SignalHandlerForShutdownRequest);
	pqsignal(SIGCHLD, SignalHandlerForConfigReload);	/* which wakes us up */
	BackgroundWorkerUnblockSignals();
	for (;;)
	{
		TimestampTz now = GetCurrentTimestamp();
		bool		stopping = ShutdownRequestPending;

		if (now - start >= LONGEST_PAUSE * USECS_PER_SEC)
			pause = 1;
		if (worker != 0 && waitpid(worker, &status, WNOHANG) == worker)
		{
			kill(-worker, SIGKILL); /* what a wrapper has left in its process group */
			ereport(LOG,
					(errmsg("pg_durable: the worker, process %d, ended: %s%s",
							(int) worker, wait_result_to_str(status),
							stopping ? "" : psprintf("; it is started again in %d s", pause)),
					 WIFEXITED(status) && WEXITSTATUS(status) >= 126
					 ? errhint("Set pg_durable.worker_command to the program pg-durable, with its path.")
					 : 0));
			worker = 0;
			start = now + pause * USECS_PER_SEC;
			pause = Min(pause * 2, LONGEST_PAUSE);
		}
		if (stopping && worker == 0)
			proc_exit(1);		/* 0 would mean: never again */
		if (stopping && now >= patience)
		{
			kill(worker, patience == 0 ? SIGTERM : SIGKILL);
			patience = now + 20 * USECS_PER_SEC;	/* ending takes it 15 at most */
		}
		if (worker == 0 && now >= start)
			worker = start_worker();
		(void) WaitLatch(MyLatch, WL_LATCH_SET | WL_TIMEOUT | WL_EXIT_ON_PM_DEATH, 1000L,
						 PG_WAIT_EXTENSION);
		ResetLatch(MyLatch);
	}
}

/* The caller is cancelled, or ends: so does the worker, unless it is committing already. */
static void
give_up(int code, Datum sent)
{
	((Errand *) DatumGetPointer(sent))->given_up = true;
	TerminateBackgroundWorker(((Errand *) DatumGetPointer(sent))->handle);
}

/* df._start_in_background(role oid, command text): the answers, or null without a free worker. */
Datum
start_in_background(PG_FUNCTION_ARGS)
{
	BackgroundWorker worker = {
		.bgw_name = "pg_durable start",
		.bgw_library_name = "pg_durable",
		.bgw_function_name = "pg_durable_start_new",
		.bgw_flags = BGWORKER_SHMEM_ACCESS | BGWORKER_BACKEND_DATABASE_CONNECTION,
		.bgw_start_time = BgWorkerStart_RecoveryFinished,
		.bgw_restart_time = BGW_NEVER_RESTART,
		.bgw_notify_pid = MyProcPid,
	};
	char	   *command = text_to_cstring(PG_GETARG_TEXT_PP(1));
	dsm_segment *segment = dsm_create(offsetof(Errand, command) + strlen(command) + 1, 0);
	Errand	   *sent = dsm_segment_address(segment);
	Datum		answers[ANSWERS];

	if (!superuser())
		ereport(ERROR, (errcode(ERRCODE_INSUFFICIENT_PRIVILEGE), errmsg("for superusers only")));
	memset(sent, 0, offsetof(Errand, command));
	sent->database = MyDatabaseId;
	sent->role = PG_GETARG_OID(0);
	strcpy(sent->command, command);
	worker.bgw_main_arg = UInt32GetDatum(dsm_segment_handle(segment));
	if (!RegisterDynamicBackgroundWorker(&worker, &sent->handle))
	{
		dsm_detach(segment);
		PG_RETURN_NULL();
	}

	PG_ENSURE_ERROR_CLEANUP(give_up, PointerGetDatum(sent));
	if (WaitForBackgroundWorkerShutdown(sent->handle) != BGWH_STOPPED)
		proc_exit(1);			/* the postmaster is gone */
	PG_END_ENSURE_ERROR_CLEANUP(give_up, PointerGetDatum(sent));
	for (int i = 0; i < ANSWERS; i++)
		answers[i] = CStringGetTextDatum(sent->answers[i]);
	dsm_detach(segment);
	PG_RETURN_ARRAYTYPE_P(construct_array(answers, ANSWERS, TEXTOID, -1, false, TYPALIGN_INT));
}

static void
answer(int which, const char *text)
{
	if (text != NULL)
		strlcpy(errand->answers[which], text, pg_mbcliplen(text, strlen(text), LONGEST_ANSWER) + 1);
}

/* An error ends the background worker; also one of connecting, which nothing could catch. */
static void
answer_with_error(ErrorData *error)
{
	if (error->elevel >= ERROR)
	{
		emit_log_hook = next_hook;	/* the first error counts */
		answer(STATE, unpack_sql_state(error->sqlerrcode));
		answer(MESSAGE, error->message);
		answer(DETAIL, error->detail);
		answer(HINT, error->hint);
	}
	if (next_hook)
		next_hook(error);
}

void
pg_durable_start_new(Datum handle)
{
	dsm_segment *segment = dsm_attach(DatumGetUInt32(handle));

	pqsignal(SIGTERM, die);
	BackgroundWorkerUnblockSignals();
	if (segment == NULL)
		return;					/* the caller is gone */
	errand = dsm_segment_address(segment);
	next_hook = emit_log_hook;
	emit_log_hook = answer_with_error;
	/* The hook sees what is logged, so errors are, whatever the role has set. */
	SetConfigOption("log_min_messages", "error", PGC_SUSET, PGC_S_OVERRIDE);
	BackgroundWorkerInitializeConnectionByOid(errand->database, errand->role, 0);
	answer(STAGE, "connected");

	SetCurrentStatementStartTimestamp();
	pgstat_report_activity(STATE_RUNNING, errand->command);
	StartTransactionCommand();
	enable_timeout_after(STATEMENT_TIMEOUT, 30500); /* so that waits for locks end before */
	PushActiveSnapshot(GetTransactionSnapshot());
	SPI_connect();
	if (SPI_execute(errand->command, false, 1) != SPI_OK_SELECT)
		elog(ERROR, "the command returned nothing");
	answer(ID, SPI_getvalue(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1));
	SPI_finish();
	PopActiveSnapshot();
	disable_timeout(STATEMENT_TIMEOUT, false);
	if (errand->given_up)
		ereport(FATAL, (errcode(ERRCODE_QUERY_CANCELED), errmsg("the caller has given up")));
	CommitTransactionCommand();
	answer(STAGE, "committed");
	emit_log_hook = next_hook;	/* the segment goes before the process */
}

static bool
check_databases(char **value, void **extra, GucSource source)
{
	List	   *names;

	return SplitGUCList(pstrdup(*value), ',', &names) && names != NIL;
}

void
_PG_init(void)
{
	BackgroundWorker launcher = {
		.bgw_name = "pg_durable launcher",
		.bgw_library_name = "pg_durable",
		.bgw_function_name = "pg_durable_launcher",
		.bgw_flags = BGWORKER_SHMEM_ACCESS,
		.bgw_start_time = BgWorkerStart_RecoveryFinished,
		.bgw_restart_time = 1,
	};

	if (!process_shared_preload_libraries_in_progress)
		return;
	DefineCustomStringVariable("pg_durable.worker_role", "Role the worker logs in as.", NULL,
							   &worker_role, "postgres", PGC_POSTMASTER, 0, NULL, NULL, NULL);
	DefineCustomStringVariable("pg_durable.database", "Databases it serves.", NULL, &databases,
							   "postgres", PGC_POSTMASTER, 0, check_databases, NULL, NULL);
	DefineCustomStringVariable("pg_durable.worker_command", "What runs it; empty: nothing.", NULL,
							   &worker_command, "pg-durable", PGC_POSTMASTER, 0, NULL, NULL, NULL);
	/* Not hidden: df.start and the worker read it with the rights of whoever they are. */
	DefineCustomBoolVariable("pg_durable.enable_superuser_instances", "Whether they are allowed.",
							 NULL, &superusers_too, false, PGC_POSTMASTER, 0, NULL, NULL, NULL);
	for (int i = 0; i < lengthof(numbers); i++)
		DefineCustomIntVariable(psprintf("pg_durable.%s", numbers[i].name), numbers[i].purpose,
								NULL, &numbers[i].value, numbers[i].value, numbers[i].least,
								numbers[i].most, numbers[i].context, 0, NULL, NULL, NULL);
	if (*worker_command != '\0')
		RegisterBackgroundWorker(&launcher);
}
