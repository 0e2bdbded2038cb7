/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A worker process: spawning it, talking to it, and learning how it ended.
 *
 * The process is watched by its pidfd. What it sends is not trusted: malformed messages are dropped,
 * and the owner is told; replies that nobody waits for are ignored; its standard error is cut into
 * lines, of which the owner gets a bounded number, and the last are kept.
 *
 * Thread: the event loop's. Callbacks run from the loop, never from inside a call of the caller. A
 * worker must not be freed by its callbacks, except `exited`.
 */
#pragma once

#include "common/base/cc.h"
#include "common/base/cleanup.h"
#include "common/base/json.h"
#include "common/definition/definition.h"
#include "vmms/base/process.h"
#include "vmms/base/watch.h"
#include "vmms/image/image.h"
#include "vmms/worker/console.h"
#include "vmms/worker/end_queue.h"
#include "vmms/worker/worker_users.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

struct worker;

#define WORKER_LAST_WORDS_MAX 1024 /* bytes */
#define WORKER_LINES_A_SECOND 200

/* The code of requests that were under way when the worker ended; `exited` is called next. */
#define WORKER_ENDED "ended"

/* How a worker ended. */
struct worker_exit {
	bool unknown; /* it was another daemon's child; the rest is not known either */
	int status;   /* exit status; -1: by a signal */
	int signal;   /* 0: none */
	/* The last lines of its standard error, UTF-8, "; " between them. */
	char last_words[WORKER_LAST_WORDS_MAX];
};

struct worker_callbacks {
	/* An event of common/control_contract.h; data is borrowed. */
	void (*event)(void *owner, const char *event, struct json_object *data);

	/* A line of its standard error, UTF-8; at most WORKER_LINES_A_SECOND. */
	void (*said)(void *owner, const char *line);

	/* It has done what no worker should; what, for the log. */
	void (*misbehaved)(void *owner, const char *what);

	/*
	 * The process has ended; every event it sent has been delivered, and every request has got
	 * its answer. The owner may free the worker here.
	 */
	void (*exited)(void *owner, const struct worker_exit *exit);
};

struct worker_config {
	const char *program;   /* path of vmwp */
	const char *directory; /* its working directory; NULL: the daemon's */
	uid_t user;            /* to become, in its sandbox; 0: none */
	const char *profile; /* of AppArmor, that it is under; NULL: none; borrowed for the call */
	const char *socket;  /* path of its control socket; borrowed for the call */
	const char *name;    /* of the VM, for the log; borrowed for the call */
	const char *whose;   /* owner of the VM; borrowed for the call */
	struct helpers *helpers;
	const struct worker_callbacks *callbacks;
	void *owner; /* first argument of the callbacks */
};

/* The VM is called so from now on, in the log. */
void worker_rename(struct worker *worker, const char *name);

/*
 * What became of a request. result: borrowed, NULL on failure; then code is one of CONTROL_ERROR_
 * (or anything that the worker made up), and text says why.
 */
typedef void (*worker_reply_fn)(void *data, struct json_object *result, const char *code,
				const char *text);

/*
 * Starts `program --control-fd 3`, and --user if there is one to become, which outlives this
 * process. watches: outlives the worker. Return: 0, -errno.
 */
int worker_spawn(struct watches *watches, const struct worker_config *config,
		 struct worker **ret_worker) MUST_CHECK;

/*
 * Takes over a worker that another daemon started. config: without program and directory. serial:
 * borrowed. Return: 0: adopted() will be called with its answer to "adopt"; -ESRCH: it has ended;
 * -errno.
 */
int worker_adopt(struct watches *watches, const struct worker_config *config,
		 const struct process *process, int serial, worker_reply_fn adopted,
		 struct worker **ret_worker) MUST_CHECK;

/* Kills the process if it still runs. Requests under way are forgotten. */
void worker_free(struct worker *worker);
DEFINE_CLEANUP(struct worker *, worker_free)

/*
 * Another one has taken its place: it is killed, and frees itself when it has ended. Nothing of what it
 * does is told any more; requests under way are answered by that it has ended. Not by its own callbacks.
 */
void worker_retire(struct worker *worker);

/* The number of the next request, by which the worker knows it; never 0. */
uint32_t worker_next_request(const struct worker *worker);

pid_t worker_pid(const struct worker *worker);
const struct process *worker_process(const struct worker *worker);

/*
 * Sends a request, of a method of the contract (common/control_contract.h). arguments (NULL: {}) and
 * fds are borrowed. timeout: seconds after which `reply` is told of failure; 0: none. reply may be
 * NULL; a result that it gets fits the contract. Return: 0, reply will be called once; -errno, it
 * will not.
 */
int worker_request(struct worker *worker, const char *method, struct json_object *arguments,
		   const int *fds, size_t fd_count, unsigned timeout, worker_reply_fn reply,
		   void *data) MUST_CHECK;

/* The same with files that a holder has, which sends the request. */
struct worker_files {
	struct file_holder *holder; /* outlives the request, or is freed with files of its own */
	const struct held_file *files;
	size_t count;
};
int worker_request_with_files(struct worker *worker, const char *method,
			      struct json_object *arguments, const struct worker_files *files,
			      unsigned timeout, worker_reply_fn reply, void *data) MUST_CHECK;

/*
 * For a process that sends a request in the daemon's place, to which no reply is waited for: the
 * control socket, borrowed. *ret_id: of the request.
 */
int worker_lend_socket(struct worker *worker, uint32_t *ret_id);

void worker_kill(struct worker *worker, int signal);

/*
 * No file that the process writes grows beyond so many bytes (RLIMIT_FSIZE); UINT64_MAX: there is
 * no limit. Return: 0; -EPERM: it is more than may be; -ESRCH; -errno of prlimit(2).
 */
int worker_limit_files(struct worker *worker, uint64_t size) MUST_CHECK;
int worker_file_limit(struct worker *worker, uint64_t *ret_size) MUST_CHECK;
