/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Starting a program with a clean slate: no inherited descriptors, signals or session.
 *
 * Descriptors of others (vmms/image/file_holder.h) come through a socket, to the child, after it has
 * closed what it had of the daemon: if it then waits for one of them, it holds up nobody else.
 */
#pragma once

#include "common/base/cc.h"

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#define SPAWN_MORE_MAX 17

struct spawn {
	const char *const *arguments; /* closed by NULL; [0] is the path of the program */
	const char *directory;        /* its working directory; NULL: ours */
	int output;                   /* becomes its standard output */
	int error;                    /* becomes its standard error */
	int passed;                   /* becomes its descriptor 3; -1: none */
	const int *more;              /* become its descriptors 4, …, if there is a 3 */
	size_t more_count;            /* with those that are sent, at most SPAWN_MORE_MAX */
	int sender;                   /* a socket from which a message brings those after them */
	size_t sent_count;            /* 0: there is no sender */
	char *const *environment;     /* closed by NULL; NULL: ours */
	const char *profile;          /* of AppArmor, that it is under; NULL: none */
	uid_t user;                   /* that it is, with that group alone; 0: as we are */
	const char *needed;           /* what it has to be able to read, or is not run; NULL */
	bool outlives;                /* else it gets SIGTERM should our process die */
};

/*
 * The descriptors stay the caller's. That it could not be executed shows as exit status 127 and a
 * line on its standard error. Return: 0; -errno.
 */
int spawn_program(const struct spawn *spawn, pid_t *ret_pid, int *ret_pidfd) MUST_CHECK;

/* A test reads what a profile was asked for, on a kernel that need not know it. */
bool spawn_profile_is_faked(void);

/* "SIGKILL", …, or "" for a number without a name. */
const char *spawn_signal_name(int signal);
