/*
 * The launcher: a background process that keeps the worker running beside the server.
 *
 * The worker is its child. It ends with the launcher, whatever that dies of: told so in good
 * time, else because the kernel kills it (Linux), and because its input ends (anywhere), whose
 * other end nobody but the launcher has.
 */
#include "postgres.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>
#ifdef __linux__
#include <sys/prctl.h>
#include <sys/syscall.h>
#endif

#include "lib/stringinfo.h"
#include "libpq/pqsignal.h"
#include "miscadmin.h"
#include "pg_durable.h"
#include "postmaster/bgworker.h"
#include "postmaster/interrupt.h"
#include "postmaster/postmaster.h"
#include "storage/fd.h"
#include "storage/ipc.h"
#include "storage/latch.h"
#include "storage/procsignal.h"
#include "utils/builtins.h"
#include "utils/formatting.h"
#include "utils/pidfile.h"
#include "utils/timestamp.h"
#include "utils/varlena.h"
#include "utils/wait_event.h"

#define FIRST_PAUSE 1			/* seconds until a worker that ended is started again; */
#define LONGEST_PAUSE 60		/* doubled each time, unless it has lived for so long */
#define GRACE 20				/* seconds it gets to end by itself, which takes it 15 at most */
#define LOOK_INTERVAL 1000L		/* milliseconds */
#define MOST_DESCRIPTORS 65536

static volatile pid_t worker = 0;	/* also the number of its process group */
static int	lifeline = -1;		/* the worker's input */

static void
kill_worker(int code, Datum unused)
{
	if (worker != 0)
		kill(-worker, SIGKILL);
}

static void
quit_at_once(SIGNAL_ARGS)
{
	kill_worker(0, 0);
	_exit(2);
}

static void
wake_up(SIGNAL_ARGS)
{
	SetLatch(MyLatch);
}

/* Where this server is reached: its first socket directory, else the first address. */
static const char *
own_host(void)
{
	List	   *found;
	const char *host = "localhost";

	if (SplitDirectoriesString(pstrdup(Unix_socket_directories), ',', &found) && found != NIL)
		return linitial(found);
	if (SplitGUCList(pstrdup(ListenAddresses), ',', &found) && found != NIL
		&& strcmp(linitial(found), "*") != 0)
		host = linitial(found);
	return strcmp(host, "0.0.0.0") == 0 ? "127.0.0.1" : strcmp(host, "::") == 0 ? "::1" : host;
}

/* Whether libpq would take this variable for another server, or another way to speak to it. */
static bool
misleads(const char *variable)
{
	static const char *const harmless[] =
	{"PG_DURABLE_", "PGPASSFILE=", "PGSSLCERT=", "PGSSLKEY=", "PGSSLROOTCERT="};

	if (strncmp(variable, "PG_DURABLE_DSN=", 15) == 0)
		return true;
	for (int i = 0; i < lengthof(harmless); i++)
		if (strncmp(variable, harmless[i], strlen(harmless[i])) == 0)
			return false;
	return strncmp(variable, "PG", 2) == 0;
}

/* Make this process's environment that of the worker. */
static void
prepare_environment(void)
{
	for (char **entry = environ; *entry != NULL;)
	{
		char	   *before = *entry;

		if (misleads(before))
			unsetenv(pnstrdup(before, strcspn(before, "=")));
		if (*entry == before)
			entry++;
	}
	setenv("PGHOST", own_host(), 1);
	setenv("PGPORT", psprintf("%d", PostPortNumber), 1);
	setenv("PGUSER", worker_role, 1);
	for (Number *n = numbers; n < numbers + number_count; n++)
		if (n->of_worker)
		{
			const char *name = strchr(n->name, '.') + 1;

			setenv(psprintf("PG_DURABLE_%s", asc_toupper(name, strlen(name))),
				   psprintf("%d", n->value), 1);
		}
}

/* What the worker is run with: sh -c 'exec pg-durable "$@"' pg_durable worker …, one DSN each. */
static char **
worker_arguments(void)
{
	List	   *names;
	ListCell   *cell;
	char	  **arguments;
	int			count = 0;

	SplitGUCList(pstrdup(databases), ',', &names);
	arguments = palloc0(sizeof(char *) * (list_length(names) + 9));
	arguments[count++] = "sh";
	arguments[count++] = "-c";
	arguments[count++] = psprintf("exec %s \"$@\"", worker_command);
	arguments[count++] = "pg_durable";
	arguments[count++] = "worker";
	arguments[count++] = "--wait-for-server";
	arguments[count++] = "--wait-for-schema";
	arguments[count++] = "--until-input-ends";
	foreach(cell, names)
	{
		StringInfoData dsn;

		initStringInfo(&dsn);
		appendStringInfoString(&dsn, "dbname='");
		for (const char *c = lfirst(cell); *c; c++)
		{
			if (*c == '\'' || *c == '\\')
				appendStringInfoChar(&dsn, '\\');
			appendStringInfoChar(&dsn, *c);
		}
		appendStringInfoChar(&dsn, '\'');
		arguments[count++] = dsn.data;
	}
	return arguments;
}

/* In the child: become the worker. Nothing here may raise an error or take memory. */
static void
run_worker(char **arguments, int input, pid_t launcher)
{
	sigset_t	none;
	int			descriptors = MOST_DESCRIPTORS;

#ifdef __linux__
	prctl(PR_SET_PDEATHSIG, SIGKILL);
#endif
	if (getppid() != launcher)
		_exit(1);
	setpgid(0, 0);
	for (int number = 1; number < NSIG; number++)
		signal(number, SIG_DFL);
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);

	if (dup2(input, STDIN_FILENO) < 0 || dup2(STDERR_FILENO, STDOUT_FILENO) < 0)
		_exit(1);
#ifdef SYS_close_range
	if (syscall(SYS_close_range, 3, ~0U, 0) == 0)
		descriptors = 0;
#endif
	for (int descriptor = 3; descriptor < descriptors; descriptor++)
		close(descriptor);
	execv("/bin/sh", arguments);
	_exit(127);
}

static void
start_worker(char **arguments)
{
	int			ends[2] = {-1, -1};
	pid_t		launcher = getpid();
	pid_t		child = -1;
	sigset_t	all;
	sigset_t	before;

	sigfillset(&all);
	sigprocmask(SIG_SETMASK, &all, &before);	/* our handlers are not for the child */
	if (pipe(ends) == 0 && fcntl(ends[1], F_SETFD, FD_CLOEXEC) == 0)
		child = fork();
	if (child == 0)
		run_worker(arguments, ends[0], launcher);
	if (child > 0)
	{
		setpgid(child, child);	/* both do it: it is done, whoever is first */
		worker = child;
	}
	sigprocmask(SIG_SETMASK, &before, NULL);

	if (child > 0)
		ereport(LOG, (errmsg("pg_durable: started the worker, process %d", (int) child)));
	else
		ereport(LOG, (errmsg("pg_durable: the worker could not be started: %m")));
	close(ends[0]);
	if (child > 0)
		lifeline = ends[1];
	else
		close(ends[1]);
}

/* Whether the worker has ended since the last look; says how. */
static bool
has_ended(bool stopping, int pause)
{
	int			status;

	if (worker == 0 || waitpid(worker, &status, WNOHANG) != worker)
		return false;
	kill_worker(0, 0);			/* what a wrapper has left in its process group */
	ereport(LOG,
			(stopping
			 ? errmsg("pg_durable: the worker, process %d, ended: %s",
					  (int) worker, wait_result_to_str(status))
			 : errmsg("pg_durable: the worker, process %d, ended: %s; it is started again in %d s",
					  (int) worker, wait_result_to_str(status), pause),
			 WIFEXITED(status) && WEXITSTATUS(status) >= 126
			 ? errhint("Set pg_durable.worker_command to the program pg-durable, with its path.")
			 : 0));
	worker = 0;
	close(lifeline);
	return true;
}

/* A smart shutdown waits for all sessions, the worker's too, and tells nobody but this file. */
static bool
server_stops(void)
{
	char		line[MAXPGPATH] = "";
	FILE	   *file = fopen("postmaster.pid", "r");

	if (file == NULL)
		return false;
	for (int i = 0; i < LOCK_FILE_LINE_PM_STATUS; i++)
		if (fgets(line, sizeof(line), file) == NULL)
			line[0] = '\0';
	fclose(file);
	return strncmp(line, PM_STATUS_STOPPING, strlen(PM_STATUS_STOPPING)) == 0;
}

void
pg_durable_launcher(Datum unused)
{
	char	  **arguments = worker_arguments();
	bool		stopping = false;
	int			pause = FIRST_PAUSE;
	TimestampTz started = 0;
	TimestampTz next_start = 0;
	TimestampTz patience = 0;

	pqsignal(SIGTERM, SignalHandlerForShutdownRequest);
	pqsignal(SIGQUIT, quit_at_once);
	pqsignal(SIGUSR1, procsignal_sigusr1_handler);
	pqsignal(SIGCHLD, wake_up);
	on_proc_exit(kill_worker, 0);
	prepare_environment();
	BackgroundWorkerUnblockSignals();

	for (;;)
	{
		TimestampTz now = GetCurrentTimestamp();

		CHECK_FOR_INTERRUPTS();
		if (now - started >= LONGEST_PAUSE * USECS_PER_SEC)
			pause = FIRST_PAUSE;
		if (has_ended(stopping, pause))
		{
			next_start = now + pause * USECS_PER_SEC;
			pause = Min(pause * 2, LONGEST_PAUSE);
		}
		if (!stopping && (ShutdownRequestPending || server_stops()))
		{
			stopping = true;
			patience = now + GRACE * USECS_PER_SEC;
			if (worker != 0)
				kill(worker, SIGTERM);
		}
		if (stopping && now >= patience)
			kill_worker(0, 0);
		if (ShutdownRequestPending && worker == 0)
			proc_exit(1);		/* 0 would mean: never again */
		if (!stopping && worker == 0 && now >= next_start)
		{
			started = now;
			next_start = now + pause * USECS_PER_SEC;	/* if it cannot be started */
			start_worker(arguments);
		}
		(void) WaitLatch(MyLatch, WL_LATCH_SET | WL_TIMEOUT | WL_EXIT_ON_PM_DEATH,
						 LOOK_INTERVAL, PG_WAIT_EXTENSION);
		ResetLatch(MyLatch);
	}
}
