/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * VMs of another host (--host), by ssh, with the rights of whoever logs in there.
 *
 * What takes calls of vmms alone goes over that host's bus, by a systemd-stdio-bridge(1) that ssh
 * runs. No descriptor passes ssh: where a command needs them, or files of that host, vmctl runs
 * there, wholly (vmms/vmctl/remote_command.h) or for a stream.
 *
 * ssh itself says on standard error why it fails, and asks on the terminal what it has to ask.
 */
#pragma once

#include "vmms/vmctl/command.h"

#include <stdio.h>

/*
 * Reads which host the options, or $VMMS_HOST, name into invocation->host. Return: STATUS_OK, or
 * STATUS_USAGE, which has been said.
 */
enum status remote_read_host(struct invocation *invocation);

/* It is another host than this. */
bool remote_is_named(const struct invocation *invocation);

/* ---- ssh ---- */

enum remote_use {
	REMOTE_USE_CONNECTION, /* for vmctl, which has the other end: ^C is not for ssh */
	REMOTE_USE_COMMAND,    /* in vmctl's place */
	REMOTE_USE_TERMINAL,   /* likewise, with a terminal there */
};

/*
 * Has ssh run a command line there; descriptors: its standard input and output. *ret_pid: for
 * remote_wait(). Return: 0; -errno: ssh cannot be run.
 */
int remote_start(const struct invocation *invocation, enum remote_use use, const char *command,
		 int input, int output, pid_t *ret_pid);

/*
 * Waits until ssh has ended. *ret_why: NULL, or what ssh or that host lacks, where it was neither
 * `program` nor its exit status; freed by the caller. Return: vmctl's exit status.
 */
enum status remote_wait(const struct invocation *invocation, pid_t pid, const char *program,
			char **ret_why);

/* The beginning of a command line that runs vmctl there, on the bus that the options name. */
void remote_print_vmctl(const struct invocation *invocation, FILE *line);

/* ---- The bus, and streams ---- */

/*
 * invocation->bus: vmms' bus there. Waits for as long as somebody may have to be asked. Return:
 * STATUS_OK; else message says why.
 */
enum status remote_open_bus(struct invocation *invocation, char *message, size_t size);

/*
 * Runs vmctl there with these words, the last of them NULL; *ret_fd: a stream socket that is its
 * standard input and output, closed by the caller. What fails has been said.
 */
enum status remote_stream_open(struct invocation *invocation, const char *const words[],
			       int *ret_fd);

/* Once that stream has ended. Return: the exit status of vmctl there, which says why it fails. */
enum status remote_stream_end(struct invocation *invocation);
