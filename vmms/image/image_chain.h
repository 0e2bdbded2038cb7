/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The chain of a disk's image: the image, the file with its data if it keeps them elsewhere, its
 * backing file, that one's, and so on.
 *
 * Names of further files stand in heads of images. Here they are read, and the files opened, by
 * the process that opens the image: with the rights of the VM's owner, and all but the image's own
 * data for reading alone. Their server gets descriptors, and is told what each is for
 * (vmms/image/image_server.h).
 *
 * The format of a file is never guessed from its contents. That of the image stands in the definition,
 * that of a backing file in the head of the image on it, which no guest can write (more of that in
 * docs/architecture.md). And since whoever can write a head could have files read that are not
 * theirs, names count only in images that belong to the owner or to root, and that nobody else may
 * write.
 */
#pragma once

#include "common/base/cc.h"
#include "common/image/image.h"
#include "vmms/base/failure.h"
#include "vmms/image/open_helper.h"
#include "vmms/image/resources.h"

#define IMAGE_CHAIN_MAX  16  /* files, the image itself among them */
#define IMAGE_CHAIN_MARK "+" /* in names of files that an image names, after its own */

struct image_file {
	const struct held_file *held;
	enum image_format format; /* IMAGE_RAW of data */
	bool data;                /* of the image before it; else that one's backing file */
};

/*
 * Looks at the head of the disk's image, which has been added to the resources, and adds those that
 * it names. As whoever we are. Return: 0; negative with *failure filled.
 */
int image_chain_open(struct resources *resources, const struct resources_request *request,
		     const struct definition_disk *disk, int fd,
		     struct failure *failure) MUST_CHECK;

/*
 * The files of that disk, its image first; borrowed from the opened ones. Return: how many; 0: the
 * disk is not among them.
 */
size_t image_chain_find(const struct opened_files *opened, const struct definition_disk *disk,
			struct image_file files[static IMAGE_CHAIN_MAX]);
