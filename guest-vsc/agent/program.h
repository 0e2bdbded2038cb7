/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The program that the client wants run, as a process with its own session. */
#pragma once

#include "guest-vsc/agent/request.h"

#include <sys/types.h>

struct program {
	pid_t pid;
	int end;            /* readable when it has ended; Linux before 5.3 has no pidfd_open() */
	int input;          /* -1: closed; of a terminal the same file as output */
	int output, errors; /* non-blocking; -1: ended; errors: -1 with a terminal */
	bool terminal;
};

/* Return: 0, -errno. */
int program_start(const struct request *request, struct program *ret_program) MUST_CHECK;

void program_resize(const struct program *program, struct exec_size size);

/* To it and its children, as far as they have not left its group. */
void program_signal(const struct program *program, int number);

/* No more input will come. */
void program_end_input(struct program *program);

/* It has ended. Return: as of waitpid(2). */
int program_wait(const struct program *program);
