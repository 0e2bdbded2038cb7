/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The firmware's variables: the bytes of generation 2's flash, and the file that keeps them.
 *
 * The file (common/firmware/variables_file.h) is written, and made durable, soon after the flash has
 * changed. Where it is new the variables are those of the firmware's package.
 *
 * Thread: the loop's.
 */
#pragma once

#include "common/base/cc.h"
#include "common/base/cleanup.h"
#include "common/base/loop.h"
#include "common/firmware/firmware.h"
#include "vmwp/base/failure.h"
#include "vmwp/chipset/chipset.h"

#include <stdbool.h>
#include <stdint.h>

struct variables;

struct variables_callbacks {
	/* Fills what is to be kept: the flash as it is. */
	void (*copy)(void *data, uint8_t ret_bytes[static FLASH_SIZE]);
	/* They cannot be kept: once for each run of failures. */
	void (*failed)(void *data, int error);
};

/*
 * template_fd: the package's; fd: the VM's file, or -1: they are kept nowhere. Both borrowed.
 * Return: 0; -EINVAL and others with *failure saying what is wrong with which file.
 */
int variables_new(struct loop *loop, int template_fd, int fd,
		  const struct variables_callbacks *callbacks, void *data,
		  struct variables **ret_variables, struct failure *failure) MUST_CHECK;

/* What is under way ends by itself. */
void variables_free(struct variables *variables);
DEFINE_CLEANUP(struct variables *, variables_free)

/* The flash's bytes: FLASH_SIZE, page-aligned, as long as the variables. */
uint8_t *variables_bytes(struct variables *variables);

/* The flash has changed: it is written down soon. */
void variables_changed(struct variables *variables);

/* Has it called, maybe at once, when nothing is under way. */
void variables_flush(struct variables *variables, void (*done)(void *data), void *data);
