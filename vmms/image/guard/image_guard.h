/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The guard of an image server: a library that the server's program is started with (LD_PRELOAD),
 * and that shuts it in before its first own instruction, when all libraries have been loaded.
 *
 * It is begun as a user of its own. From then on the program has an empty root, no network, and few
 * system calls; where it opens IMAGE_GUARD_PATH with a number, it gets the file that was passed to
 * it so. It ends when the connection does that it has accepted.
 */
#pragma once

#include "common/base/cc.h"

/* The socket that it listens on. */
#define IMAGE_GUARD_LISTENER 3

/* This library: the user may not reach where it lies. */
#define IMAGE_GUARD_LIBRARY      4
#define IMAGE_GUARD_LIBRARY_PATH "/proc/self/fd/4"

/* What the program opens, with a number from 0 on, and gets a copy of such a descriptor for. */
#define IMAGE_GUARD_PATH      "/vmms-image-"
#define IMAGE_GUARD_FILES     5 /* the first */
#define IMAGE_GUARD_FILES_MAX 16

/* The system calls that the program makes, and no others, from now on. Return: 0; -errno. */
int image_guard_limit_calls(void) MUST_CHECK;
