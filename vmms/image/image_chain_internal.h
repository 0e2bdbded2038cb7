/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What the files that open chains of images share. */
#pragma once

#include "vmms/image/image_chain.h"

#include <limits.h>
#include <sys/stat.h>

/* What has been opened until now, and where it goes on. */
struct chain {
	struct resources *resources;
	const struct resources_request *request;
	const struct definition_disk *disk;
	struct stat files[IMAGE_CHAIN_MAX];
	unsigned count;

	/* The image whose head is read. */
	int fd;
	enum image_format format;
	char path[PATH_MAX];
};

/* What an image names. */
struct named {
	const char *what; /* to people */
	const char *name; /* as the head has it; NULL: the path counts */
	bool read_only;
	char path[PATH_MAX];
	int fd;
};

/* Refusals: of the image whose head is read; of what that names. Return: negative. */
int chain_refuse_image(const struct chain *chain, struct failure *failure, const char *why);
int chain_refuse_named(const struct chain *chain, const struct named *named, const char *error,
		       const char *why, struct failure *failure);
int chain_refuse_open(const struct chain *chain, const struct named *named, int error,
		      struct failure *failure);

/* Opens and locks what is named, unless it is in the chain. Return: 0; negative with *failure. */
int chain_open_named(struct chain *chain, struct named *named, struct failure *failure) MUST_CHECK;

/* Adds it to the resources. Return: 0; -errno. */
int chain_add_file(struct chain *chain, const struct named *named, const char *role,
		   const char *format) MUST_CHECK;

/* Whether only the VM's owner and root could write the head. Return: 0; negative with *failure. */
int chain_check_writers(const struct chain *chain, struct failure *failure) MUST_CHECK;

/*
 * Of an image that the worker reads by itself: does what has to be waited for, and opens its parent,
 * that one's, and so on. Return: 0; negative with *failure.
 */
int image_parents_open(struct chain *chain, struct failure *failure) MUST_CHECK;
