/*
 * df._start_in_background: run df.start in a session and transaction of its own, as a role.
 *
 * The session is a dynamic background worker. Role and texts go to it in a segment of shared
 * memory; it answers through a message queue there, and its errors come the same way.
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "access/xact.h"
#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "fmgr.h"
#include "funcapi.h"
#include "libpq/pqformat.h"
#include "libpq/pqmq.h"
#include "mb/pg_wchar.h"
#include "miscadmin.h"
#include "pg_durable.h"
#include "pgstat.h"
#include "port/atomics.h"
#include "postmaster/bgworker.h"
#include "storage/dsm.h"
#include "storage/ipc.h"
#include "storage/proc.h"
#include "storage/shm_mq.h"
#include "tcop/tcopprot.h"
#include "utils/builtins.h"
#include "utils/memutils.h"
#include "utils/snapmgr.h"
#include "utils/timeout.h"

#define QUEUE_SIZE 16384
#define TEXTS 3					/* fut, label, database */
#define PATIENCE 30000			/* milliseconds for a lock, and for the statement */
#define MARGIN 500				/* so that a lock waited for from the beginning is told as one */
#define CALL "select df.start($1, $2, $3)"

/* What the worker tells, besides errors. */
#define CONNECTED 'K'
#define STARTED 'I'

typedef struct
{
	pg_atomic_uint32 decided;	/* set once: by the caller to give up, or to commit */
	Oid			database;
	Oid			role;
	int			lengths[TEXTS]; /* with the final zero byte; 0: null */
	char		texts[FLEXIBLE_ARRAY_MEMBER];	/* one after another, then the queue */
} Request;

typedef struct
{
	Request    *request;
	BackgroundWorkerHandle *handle;
} Errand;

PG_FUNCTION_INFO_V1(start_in_background);

/* The caller is cancelled, or ends: so does the worker, unless it is committing already. */
static void
give_up(int code, Datum errand)
{
	Errand	   *e = (Errand *) DatumGetPointer(errand);

	if (pg_atomic_exchange_u32(&e->request->decided, 1) == 0)
		TerminateBackgroundWorker(e->handle);
}

static Errand
send_errand(FunctionCallInfo fcinfo, shm_mq_handle **answers, dsm_segment **segment)
{
	BackgroundWorker worker = {0};
	Errand		errand;
	Request    *request;
	Size		size = 0;
	char	   *next;
	shm_mq	   *queue;

	for (int i = 0; i < TEXTS; i++)
		size += PG_ARGISNULL(i + 1) ? 0 : VARSIZE_ANY_EXHDR(PG_GETARG_TEXT_PP(i + 1)) + 1;
	size = BUFFERALIGN(offsetof(Request, texts) + size);
	*segment = dsm_create(size + QUEUE_SIZE, 0);
	request = dsm_segment_address(*segment);
	pg_atomic_init_u32(&request->decided, 0);
	request->database = MyDatabaseId;
	request->role = PG_GETARG_OID(0);
	next = request->texts;
	for (int i = 0; i < TEXTS; i++)
	{
		char	   *given = PG_ARGISNULL(i + 1) ? NULL : text_to_cstring(PG_GETARG_TEXT_PP(i + 1));

		request->lengths[i] = given == NULL ? 0 : strlen(given) + 1;
		if (given != NULL)
			memcpy(next, given, request->lengths[i]);
		next += request->lengths[i];
	}
	queue = shm_mq_create((char *) request + size, QUEUE_SIZE);
	shm_mq_set_receiver(queue, MyProc);

	worker.bgw_flags = BGWORKER_SHMEM_ACCESS | BGWORKER_BACKEND_DATABASE_CONNECTION;
	worker.bgw_start_time = BgWorkerStart_RecoveryFinished;
	worker.bgw_restart_time = BGW_NEVER_RESTART;
	worker.bgw_main_arg = UInt32GetDatum(dsm_segment_handle(*segment));
	worker.bgw_notify_pid = MyProcPid;
	strlcpy(worker.bgw_name, "pg_durable start", BGW_MAXLEN);
	strlcpy(worker.bgw_type, "pg_durable start", BGW_MAXLEN);
	strlcpy(worker.bgw_library_name, "pg_durable", MAXPGPATH);
	strlcpy(worker.bgw_function_name, "pg_durable_start_new", BGW_MAXLEN);
	if (!RegisterDynamicBackgroundWorker(&worker, &errand.handle))
		ereport(ERROR,
				(errcode(MAKE_SQLSTATE('W', 'F', '0', '0', '7')),
				 errmsg("df.start(): transaction_mode => 'new' needs a background worker, and all max_worker_processes=%d are taken",
						max_worker_processes),
				 errhint("Try again, or let the server have more (max_worker_processes).")));
	*answers = shm_mq_attach(queue, *segment, errand.handle);
	errand.request = request;
	return errand;
}

/*
 * df._start_in_background(role oid, fut, label, database text): the id of the new instance, or
 * the error, and whether the role could connect.
 */
Datum
start_in_background(PG_FUNCTION_ARGS)
{
	enum {ID, IS_CONNECTED, STATE, MESSAGE, DETAIL, HINT, COLUMNS};
	Datum		values[COLUMNS] = {0};
	bool		nulls[COLUMNS] = {true, false, true, true, true, true};
	TupleDesc	columns;
	dsm_segment *segment;
	shm_mq_handle *answers;
	Errand		errand;
	Size		length;
	void	   *data;

	if (!preloaded)
		ereport(ERROR, (errcode(MAKE_SQLSTATE('W', 'F', '0', '0', '4')),
						errmsg("pg_durable must be loaded via shared_preload_libraries.")));
	if (!superuser())
		ereport(ERROR, (errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
						errmsg("df._start_in_background() acts for any role; only superusers may call it")));
	if (get_call_result_type(fcinfo, NULL, &columns) != TYPEFUNC_COMPOSITE)
		elog(ERROR, "df._start_in_background() returns a row");

	errand = send_errand(fcinfo, &answers, &segment);
	PG_ENSURE_ERROR_CLEANUP(give_up, PointerGetDatum(&errand));
	{
		while (shm_mq_receive(answers, &length, &data, false) == SHM_MQ_SUCCESS)
		{
			StringInfoData text;

			initStringInfo(&text);
			appendBinaryStringInfo(&text, (char *) data + 1, length - 1);
			if (*(char *) data == CONNECTED)
				values[IS_CONNECTED] = BoolGetDatum(true);
			else if (*(char *) data == STARTED)
			{
				values[ID] = CStringGetTextDatum(text.data);
				nulls[ID] = false;
			}
			else if (*(char *) data == 'E')
			{
				ErrorData	said;
				const char *parts[COLUMNS] = {0};

				pq_parse_errornotice(&text, &said);
				parts[STATE] = unpack_sql_state(said.sqlerrcode);
				parts[MESSAGE] = said.message;
				parts[DETAIL] = said.detail;
				parts[HINT] = said.hint;
				for (int i = STATE; i < COLUMNS; i++)
					if (!(nulls[i] = parts[i] == NULL))
						values[i] = CStringGetTextDatum(parts[i]);
			}
		}
	}
	PG_END_ENSURE_ERROR_CLEANUP(give_up, PointerGetDatum(&errand));
	dsm_detach(segment);
	PG_RETURN_DATUM(HeapTupleGetDatum(heap_form_tuple(BlessTupleDesc(columns), values, nulls)));
}

static void
answer(shm_mq_handle *answers, char kind, const char *text)
{
	char	   *message = psprintf("%c%s", kind, text);

#if PG_VERSION_NUM >= 150000
	shm_mq_send(answers, strlen(message), message, false, true);
#else
	shm_mq_send(answers, strlen(message), message, false);
#endif
}

/* The background worker. Its errors end it, and reach the caller through the queue. */
void
pg_durable_start_new(Datum handle)
{
	dsm_segment *segment = dsm_attach(DatumGetUInt32(handle));
	Request    *request;
	char	   *next;
	shm_mq	   *queue;
	shm_mq_handle *answers;
	char	   *id;
	Oid			types[TEXTS] = {TEXTOID, TEXTOID, TEXTOID};
	Datum		values[TEXTS] = {0};
	char		nulls[TEXTS];

	pqsignal(SIGTERM, die);
	BackgroundWorkerUnblockSignals();
	if (segment == NULL)
		return;					/* the caller is gone */
	request = dsm_segment_address(segment);
	next = request->texts;
	for (int i = 0; i < TEXTS; i++)
	{
		nulls[i] = request->lengths[i] == 0 ? 'n' : ' ';
		if (request->lengths[i] > 0)
			values[i] = CStringGetTextDatum(next);
		next += request->lengths[i];
	}
	queue = (shm_mq *) ((char *) request + BUFFERALIGN(next - (char *) request));
	shm_mq_set_sender(queue, MyProc);
	answers = shm_mq_attach(queue, segment, NULL);
	pq_redirect_to_shm_mq(segment, answers);

	BackgroundWorkerInitializeConnectionByOid(request->database, request->role, 0);
	SetClientEncoding(GetDatabaseEncoding());	/* of the texts of errors */
	answer(answers, CONNECTED, "");

	SetConfigOption("application_name", "pg_durable:backend:new-transaction",
					PGC_USERSET, PGC_S_SESSION);
	SetConfigOption("search_path", "pg_catalog, pg_temp", PGC_USERSET, PGC_S_SESSION);
	SetConfigOption("lock_timeout", psprintf("%d", PATIENCE), PGC_USERSET, PGC_S_SESSION);
	SetCurrentStatementStartTimestamp();
	pgstat_report_activity(STATE_RUNNING, CALL);
	debug_query_string = CALL;
	StartTransactionCommand();
	enable_timeout_after(STATEMENT_TIMEOUT, PATIENCE + MARGIN);
	PushActiveSnapshot(GetTransactionSnapshot());
	SPI_connect();
	if (SPI_execute_with_args(CALL, TEXTS, types, values, nulls, false, 1) != SPI_OK_SELECT)
		elog(ERROR, "df.start() returned nothing");
	id = SPI_getvalue(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1);
	id = MemoryContextStrdup(TopMemoryContext, id);
	SPI_finish();
	PopActiveSnapshot();
	disable_timeout(STATEMENT_TIMEOUT, false);
	if (pg_atomic_exchange_u32(&request->decided, 1) != 0)
		ereport(FATAL, (errcode(ERRCODE_QUERY_CANCELED), errmsg("the caller has given up")));
	CommitTransactionCommand();
	answer(answers, STARTED, id);
}
