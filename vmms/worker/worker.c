/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A worker process.
 *
 * Three descriptors are watched: the pidfd, the control socket and a pipe that is the worker's
 * standard error. The end of the process is told by the pidfd alone; what is still in the socket
 * and the pipe then is taken first, so that the last event and the last words come before the end.
 *
 * A worker that floods us is slowed down, not obeyed: both are read so often in a second, and no
 * more; and what it sends on the control socket has a rate of bytes, and of the processor's time
 * that it costs. Large messages are for replies alone: while no request is under way nothing else
 * than an event can be in the socket.
 */
#include "vmms/worker/worker.h"

#include "common/base/error.h"
#include "common/base/list.h"
#include "common/base/log.h"
#include "common/base/token_bucket.h"
#include "common/control_contract.h"
#include "vmms/base/fault.h"
#include "vmms/base/plain_socket.h"
#include "vmms/base/spawn.h"
#include "vmms/worker/worker_output.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/pidfd.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>

#define DRAIN_MAX        256 /* messages, or reads of the pipe, taken at the end */
#define ADOPT_TIMEOUT    30  /* seconds */
#define EVENTS_AT_ONCE   8   /* control messages */
#define WAKEUPS_A_SECOND 125 /* with control messages */

/* Of control messages, at once and in a second. */
#define BYTES_MOST (2 << 20)
#define BYTES_RATE (1 << 20)
#define TIME_MOST  250000 /* microseconds of the processor's time */
#define TIME_RATE  50000

struct request {
	struct list link;
	struct worker *worker;
	uint32_t id;
	const struct control_method *method;
	worker_reply_fn reply;
	void *data;
	sd_event_source *timer;
	struct file_delivery delivery; /* of what comes with it, if another process sends it */
};

struct worker {
	struct worker_config config;
	char name[DEFINITION_NAME_MAX + 1];
	char *whose;
	struct watches *watches;
	struct process process;
	bool ended;
	int pidfd, control;
	struct watch *pidfd_watch, *control_watch;
	struct token_bucket bytes, time; /* of what comes on the control socket */
	bool rests;                      /* until it has more of that */
	uint32_t next_id;
	struct list requests;
	struct worker_output output;
};

/* ---- Requests ---- */

static void worker_request_finish(struct request *request, struct json_object *result,
				  const char *code, const char *text)
{
	worker_reply_fn reply = request->reply;
	void *data = request->data;

	list_unlink(&request->link);
	list_unlink(&request->delivery.link);
	sd_event_source_disable_unref(request->timer);
	free(request);
	if (reply)
		reply(data, result, code, text);
}

static int worker_request_timed_out(sd_event_source *source, uint64_t usec, void *data)
{
	worker_request_finish(data, NULL, CONTROL_ERROR_FAILED,
			      "the worker did not answer in time");
	return 0;
}

static struct request *worker_request_find(struct worker *worker, uint32_t id)
{
	list_for_each (link, &worker->requests) {
		struct request *request = container_of(link, struct request, link);

		if (request->id == id)
			return request;
	}
	return NULL;
}

static void worker_files_sent(struct file_delivery *delivery, int r)
{
	if (r < 0)
		worker_request_finish(container_of(delivery, struct request, delivery), NULL,
				      CONTROL_ERROR_FAILED,
				      r == -EAGAIN ? "the worker does not answer"
						   : "the process that held the files was killed");
}

static int worker_request_new(struct worker *worker, const char *method, unsigned timeout,
			      worker_reply_fn reply, void *data, struct request **ret_request)
{
	AUTO_FREE struct request *request = calloc(1, sizeof(*request));
	int r;

	if (!request)
		return -ENOMEM;
	/*
	 * Its image servers may still be writing: nobody would answer, nor say that it has ended.
	 */
	if (worker->ended)
		return -EPIPE;
	*request = (struct request){
		.worker = worker,
		.id = worker->next_id++,
		.method = control_method_find(method),
		.reply = reply,
		.data = data,
	};
	assert(request->method);
	list_init(&request->link);
	list_init(&request->delivery.link);
	request->delivery.sent = worker_files_sent;
	if (timeout > 0) {
		r = sd_event_add_time_relative(watches_loop(worker->watches), &request->timer,
					       CLOCK_MONOTONIC, timeout * UINT64_C(1000000), 0,
					       worker_request_timed_out, request);
		if (r < 0)
			return r;
	}
	*ret_request = TAKE_PTR(request);
	return 0;
}

/* It is on its way (r: 0), or was never sent. */
static int worker_request_begin(struct request *request, int r)
{
	if (r < 0) {
		sd_event_source_disable_unref(request->timer);
		free(request);
		return r;
	}
	list_append(&request->worker->requests, &request->link);
	return 0;
}

int worker_request(struct worker *worker, const char *method, struct json_object *arguments,
		   const int *fds, size_t fd_count, unsigned timeout, worker_reply_fn reply,
		   void *data)
{
	struct request *request;
	int r;

	r = worker_request_new(worker, method, timeout, reply, data, &request);
	if (r < 0)
		return r;
	return worker_request_begin(request,
				    control_send_request(worker->control, request->id, method,
							 arguments, fds, fd_count));
}

static int worker_send_with_files(struct request *request, const char *method,
				  struct json_object *arguments, const struct worker_files *files)
{
	AUTO_JSON struct json_object *tree = control_request(request->id, method, arguments);
	size_t size;
	const char *text = tree ? control_text(tree, &size) : NULL;

	return text ? file_holder_send(files->holder, request->worker->control, text, size,
				       files->files, files->count, &request->delivery)
		    : -ENOMEM;
}

int worker_request_with_files(struct worker *worker, const char *method,
			      struct json_object *arguments, const struct worker_files *files,
			      unsigned timeout, worker_reply_fn reply, void *data)
{
	struct request *request;
	int r;

	r = worker_request_new(worker, method, timeout, reply, data, &request);
	return r < 0 ? r
		     : worker_request_begin(
			       request, worker_send_with_files(request, method, arguments, files));
}

/* ---- The control socket ---- */

static void worker_misbehaved(struct worker *worker, const char *what)
{
	worker->config.callbacks->misbehaved(worker->config.owner, what);
}

/* A result that does not fit the contract is none: who asked learns that the worker has failed. */
static void worker_replied(struct worker *worker, struct request *request,
			   struct json_object *result)
{
	struct json_error error = { 0 };
	struct json_reader reader = { .error = &error, .ignores_unknown = true };
	char text[512];
	int r;

	r = control_result_check(request->method, result, &reader);
	if (r == 0) {
		worker_request_finish(request, result, NULL, NULL);
		return;
	}
	snprintf(text, sizeof(text), "the worker's answer to '%s' makes no sense: %s %s",
		 request->method->name, error.key, r == -ENOMEM ? strerror(ENOMEM) : error.message);
	worker_misbehaved(worker, text);
	worker_request_finish(request, NULL, CONTROL_ERROR_FAILED, text);
}

static void worker_message(struct worker *worker, struct control_message *message)
{
	struct request *request;

	switch (message->kind) {
	case CONTROL_EVENT:
		if (message->size > CONTROL_EVENT_MAX) {
			worker_misbehaved(worker,
					  "the worker sent an event that is too large; dropped");
			return;
		}
		worker->config.callbacks->event(worker->config.owner, message->name, message->body);
		return;
	case CONTROL_REPLY:
	case CONTROL_ERROR:
		request = worker_request_find(worker, message->id);
		if (!request)
			log_debug("VM %s: reply %u that nobody waits for", worker->config.name,
				  message->id);
		else if (message->kind == CONTROL_REPLY)
			worker_replied(worker, request, message->body);
		else
			worker_request_finish(request, NULL, message->name, message->text);
		return;
	case CONTROL_REQUEST:
		worker_misbehaved(worker, "the worker sent a request; ignored");
		return;
	}
}

static uint64_t worker_clock_now(clockid_t clock)
{
	struct timespec now;

	clock_gettime(clock, &now);
	return (uint64_t)now.tv_sec * 1000000 + (uint64_t)now.tv_nsec / 1000;
}

/* begin: of the processor's time that the message has cost. Its worker rests until that has come in again. */
static void worker_charge(struct worker *worker, size_t size, uint64_t begin)
{
	uint64_t now = worker_clock_now(CLOCK_MONOTONIC);
	uint64_t cost = worker_clock_now(CLOCK_THREAD_CPUTIME_ID) - begin;
	uint64_t rest = MAX(token_bucket_charge(&worker->bytes, now, size),
			    token_bucket_charge(&worker->time, now, cost));

	worker->rests = rest > 0;
	if (rest > 0)
		watch_rest(worker->control_watch, rest);
}

/*
 * They cannot be taken, nor can what comes after them: there is nothing to be had from it any more.
 */
static void worker_brought_files(struct worker *worker)
{
	worker_misbehaved(worker, "the worker sent descriptors, which it has no reason to; killed");
	watch_set_events(worker->control_watch, 0);
	worker_kill(worker, SIGKILL);
}

/* Takes one message. Return: false if there will be no more for now, or ever. */
static bool worker_receive(struct worker *worker)
{
	size_t most = list_empty(&worker->requests) ? CONTROL_EVENT_MAX : CONTROL_MESSAGE_MAX;
	uint64_t begin = worker_clock_now(CLOCK_THREAD_CPUTIME_ID);
	struct control_message message;
	int r;

	if (plain_socket_brings_files(worker->control)) {
		worker_brought_files(worker);
		return false;
	}
	r = control_receive_bounded(worker->control, most, &message);
	switch (r) {
	case 0:
		worker_message(worker, &message);
		worker_charge(worker, message.size, begin);
		control_message_deinit(&message);
		return true;
	case CONTROL_E_MALFORMED:
		worker_misbehaved(
			worker, "the worker sent what is no message, or too large a one; dropped");
		worker_charge(worker, most, begin);
		return true;
	case CONTROL_E_EMPTY:
		return false;
	default:
		if (r < 0)
			log_warning("VM %s: cannot receive from the worker: %s",
				    worker->config.name, strerror(-r));
		/* Its end will tell; until then there is nothing to listen to. */
		watch_set_events(worker->control_watch, 0);
		return false;
	}
}

static void worker_control_ready(void *data, uint32_t events)
{
	struct worker *worker = data;

	worker->rests = false;
	for (int i = 0; i < EVENTS_AT_ONCE && !worker->rests && worker_receive(worker); i++)
		;
}

/* ---- The end ---- */

static void worker_drain(struct worker *worker)
{
	for (size_t i = 0; i < DRAIN_MAX && worker_receive(worker); i++)
		;
	worker_output_drain(&worker->output, DRAIN_MAX);
}

static void worker_process_ended(void *data, uint32_t events)
{
	struct worker *worker = data;
	struct worker_exit exit = { .status = -1 };
	siginfo_t info = { 0 };

	worker_drain(worker);
	/* Only a child's end can be asked for. */
	exit.unknown = waitid(P_PIDFD, (id_t)worker->pidfd, &info, WEXITED | WNOHANG) < 0;
	worker->process.pid = 0;
	worker->ended = true;
	if (info.si_code == CLD_EXITED)
		exit.status = info.si_status;
	else
		exit.signal = info.si_status;
	worker_output_last_words(&worker->output, exit.last_words, sizeof(exit.last_words));
	watch_set_events(worker->pidfd_watch, 0);
	while (!list_empty(&worker->requests))
		worker_request_finish(container_of(worker->requests.next, struct request, link),
				      NULL, WORKER_ENDED, "the worker has ended");
	worker->config.callbacks->exited(worker->config.owner, &exit);
}

void worker_kill(struct worker *worker, int signal)
{
	if (worker->process.pid > 0)
		(void)pidfd_send_signal(worker->pidfd, signal, NULL, 0);
}

/* ---- Its files ---- */

int worker_file_limit(struct worker *worker, uint64_t *ret_size)
{
	struct rlimit limit;

	_Static_assert(RLIM_INFINITY == UINT64_MAX, "as worker.h has it");
	if (worker->process.pid <= 0)
		return -ESRCH;
	if (prlimit(worker->process.pid, RLIMIT_FSIZE, NULL, &limit) < 0)
		return error_origin(-errno);
	*ret_size = limit.rlim_cur;
	return 0;
}

/* The hard limit stays: without a privilege there would be no way back. */
int worker_limit_files(struct worker *worker, uint64_t size)
{
	struct rlimit limit;

	if (worker->process.pid <= 0)
		return -ESRCH;
	if (prlimit(worker->process.pid, RLIMIT_FSIZE, NULL, &limit) < 0)
		return error_origin(-errno);
	if (size > limit.rlim_max)
		return -EPERM;
	limit.rlim_cur = size;
	return prlimit(worker->process.pid, RLIMIT_FSIZE, &limit, NULL) < 0 ? -errno : 0;
}

/* ---- Life ---- */

static int worker_watch(struct worker *worker)
{
	int r;

	r = watch_new(worker->watches, worker->pidfd, EPOLLIN, 0, worker_process_ended, worker,
		      &worker->pidfd_watch);
	if (r == 0)
		r = watch_new(worker->watches, worker->control, EPOLLIN, WAKEUPS_A_SECOND,
			      worker_control_ready, worker, &worker->control_watch);
	if (r == 0)
		r = worker_output_watch(&worker->output, worker->watches);
	return r;
}

void worker_rename(struct worker *worker, const char *name)
{
	snprintf(worker->name, sizeof(worker->name), "%s", name);
	worker->config.name = worker->name;
}

static struct worker *worker_new(struct watches *watches, const struct worker_config *config)
{
	struct worker *worker = calloc(1, sizeof(*worker));
	char *whose = strdup(config->whose);

	if (!worker || !whose) {
		free(worker);
		free(whose);
		return NULL;
	}
	*worker = (struct worker){
		.config = *config,
		.whose = whose,
		.watches = watches,
		.pidfd = -1,
		.control = -1,
		.output = { .pipe = -1, .said = config->callbacks->said, .owner = config->owner },
		.bytes = { .most = BYTES_MOST, .rate = BYTES_RATE },
		.time = { .most = TIME_MOST, .rate = TIME_RATE },
		.next_id = 1
	};
	worker->config.socket = worker->config.whose = NULL;
	list_init(&worker->requests);
	worker_rename(worker, config->name);
	return worker;
}

static int worker_run_program(struct worker *worker, int listener, int output)
{
	char user[16];
	const char *const arguments[] = { worker->config.program,
					  "--control-fd",
					  "3",
					  worker->config.user ? "--user" : NULL,
					  user,
					  NULL };
	struct spawn spawn = { .arguments = arguments,
			       .directory = worker->config.directory,
			       .output = output,
			       .error = output,
			       .passed = listener,
			       .profile = worker->config.profile,
			       .outlives = true };
	pid_t pid;
	int r;

	_Static_assert(CONTROL_FD == 3, "as in the arguments");
	snprintf(user, sizeof(user), "%u", worker->config.user);
	r = spawn_program(&spawn, &pid, &worker->pidfd);
	worker->config.profile = NULL;
	if (r < 0)
		return r;
	fault_point(FAULT_WORKER_SPAWNED);
	worker->process.pid = pid;
	r = process_identify(pid, &worker->process);
	return r == -ESRCH ? 0 : r; /* dead already: the pidfd will tell */
}

int worker_spawn(struct watches *watches, const struct worker_config *config,
		 struct worker **ret_worker)
{
	CLEANUP(worker_freep) struct worker *worker = worker_new(watches, config);
	AUTO_CLOSE int listener = -1, far_output = -1;
	int r;

	if (!worker)
		return -ENOMEM;
	/* Connected first: it is to see our end even if that comes before it has begun. */
	r = control_listen(config->socket, &listener);
	fault_point(FAULT_WORKER_LISTENED);
	if (r == 0)
		r = control_connect(config->socket, &worker->control);
	if (r == 0)
		r = worker_output_open(&worker->output, &far_output);
	if (r == 0)
		r = worker_run_program(worker, listener, far_output);
	if (r == 0)
		r = worker_watch(worker);
	if (r < 0)
		return r;
	*ret_worker = TAKE_PTR(worker);
	return 0;
}

int worker_adopt(struct watches *watches, const struct worker_config *config,
		 const struct process *process, int serial, worker_reply_fn adopted,
		 struct worker **ret_worker)
{
	CLEANUP(worker_freep) struct worker *worker = worker_new(watches, config);
	AUTO_CLOSE int far_output = -1;
	int r;

	if (!worker)
		return -ENOMEM;
	r = process_open(process, &worker->pidfd);
	if (r == 0)
		r = control_connect(config->socket, &worker->control);
	if (r == 0)
		r = worker_output_open(&worker->output, &far_output);
	if (r == 0)
		r = worker_watch(worker);
	if (r < 0)
		return r;
	const int fds[] = { serial, far_output };
	r = worker_request(worker, "adopt", NULL, fds, ARRAY_SIZE(fds), ADOPT_TIMEOUT, adopted,
			   config->owner);
	if (r < 0)
		return r;
	worker->process = *process;
	*ret_worker = TAKE_PTR(worker);
	return 0;
}

void worker_free(struct worker *worker)
{
	if (!worker)
		return;
	worker_kill(worker, SIGKILL);
	list_for_each (link, &worker->requests) {
		struct request *request = container_of(link, struct request, link);

		request->reply = NULL;
		worker_request_finish(request, NULL, NULL, NULL);
	}
	watch_free(worker->pidfd_watch);
	watch_free(worker->control_watch);
	if (worker->process.pid > 0)
		process_reap(watches_loop(worker->watches), TAKE_FD(worker->pidfd));
	close_fdp(&worker->pidfd);
	plain_socket_close(worker->config.helpers, worker->whose, worker->control);
	worker_output_close(&worker->output);
	free(worker->whose);
	free(worker);
}

static void retired_event(void *owner, const char *event, struct json_object *data)
{
}

static void retired_said(void *owner, const char *text)
{
}

static void retired_exited(void *owner, const struct worker_exit *exit)
{
	worker_free(owner);
}

static const struct worker_callbacks retired_callbacks = {
	.event = retired_event,
	.said = retired_said,
	.misbehaved = retired_said,
	.exited = retired_exited,
};

void worker_retire(struct worker *worker)
{
	worker->config.callbacks = &retired_callbacks;
	worker->config.owner = worker->output.owner = worker;
	worker->output.said = retired_said;
	worker_kill(worker, SIGKILL);
}

int worker_lend_socket(struct worker *worker, uint32_t *ret_id)
{
	*ret_id = worker->next_id++;
	return worker->control;
}

uint32_t worker_next_request(const struct worker *worker)
{
	return worker->next_id;
}

pid_t worker_pid(const struct worker *worker)
{
	return worker->process.pid;
}

const struct process *worker_process(const struct worker *worker)
{
	return &worker->process;
}
