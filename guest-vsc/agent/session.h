/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * One connection: a program is run for a client, as common/wire/exec.h has it.
 *
 * The client is believed to read: what the program says is written before anything else is done.
 * Input that the program does not take holds up what comes behind it, a signal too; that the client
 * is gone is noticed all the same, and the program hung up on.
 */
#pragma once

#include "common/base/cc.h"

/* fd: a connected stream socket, borrowed. Return: 0: all was done; 1: it was not. */
int session_run(int fd) MUST_CHECK;

/* Says on that connection why nothing is done. */
void session_refuse(int fd, const char *why);
