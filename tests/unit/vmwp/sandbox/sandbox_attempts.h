/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What a worker that a guest has taken over would try, and what there is for it to reach: a file, a
 * disk of another VM, another process, sockets and shared memory of the host.
 */
#pragma once

#include "common/base/cc.h"

#include <liburing.h>
#include <stdbool.h>
#include <sys/types.h>

/* What is there to be reached. */
struct surroundings {
	char disk[64]; /* another VM's: anybody may open it */
	pid_t process; /* another one, which lets itself be traced */
	int listener;
	unsigned short port; /* of the listener, on 127.0.0.1 */
	int abstract;        /* a listening Unix socket, without a file */
	int shared_memory;   /* System V */
	int program;         /* descriptor of /bin/true */
	int file;            /* descriptor of a file of our own */
	int peer, other_end; /* a pair of connected sockets */
};

void surroundings_init(struct surroundings *surroundings);
void surroundings_deinit(struct surroundings *surroundings);

/* One attempt. Return: 0: it succeeded; an errno. */
typedef int (*attempt_fn)(const struct surroundings *surroundings, struct io_uring *ring);

/* What becomes of an attempt: 0: it succeeds; an errno; or this: the process is killed. */
#define KILLED (-1)

struct attempt {
	const char *name;
	attempt_fn try;
	int isolated; /* what becomes of it behind the layer of isolation alone */
	int limited;  /* the same with system calls limited, and no limits to the ring */
	bool by_user; /* isolation stops it by the user alone: for a test by root */
};

extern const struct attempt attempts[];
extern const size_t attempts_count;

/* What a worker does all the time. */
int attempt_to_work(const struct surroundings *surroundings, struct io_uring *ring);
