/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Disks and paths as they are written on the command line.
 */
#pragma once

#include "common/base/json.h"
#include "vmms/vmctl/command.h"

/*
 * A disk that is new gets the format of what is at its path, unless somebody has said it: by what
 * the head of the image says, read with the caller's rights, this once. One that is raw, or cannot
 * be read, is left as it is; one that names other files is refused. Nothing happens to NULL.
 * Return: 0; -ETIMEDOUT: its file system does not answer; -EPERM: it names others; -errno; which it
 * says.
 */
int disk_text_find_format(struct json_object **disk) MUST_CHECK;

/* Whether there is something at a path, as far as the caller may see. Return: 0; -ENOENT;
 * -ETIMEDOUT; -errno; which it says. */
int disk_text_find_file(const char *path) MUST_CHECK;

/* The same, but it says nothing, and does not wait for long. */
int disk_text_look_for_file(const char *path) MUST_CHECK;

/* What vmctl ends with after such a failure. */
enum status disk_text_status(int r);

/* As seen from the working directory; vmms has another. Freed by the caller; NULL without memory,
 * or without a working directory. */
char *absolute_path(const char *path);

/*
 * "PATH[,ro][,serial=TEXT][,cache=MODE][,on-error=WHAT][,iops=N][,bandwidth=SIZE][,sector-size=N]
 * [,format=FORMAT][,controller=N][,lun=N]" as a disk of a definition. What the values may be is for
 * the definition's reader to say. Return: 0; -EINVAL with *ret_word the part that is not
 * understood, which the caller frees; -ENOMEM.
 */
int disk_text_parse(const char *text, struct json_object **ret_disk, char **ret_word) MUST_CHECK;
