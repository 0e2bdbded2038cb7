/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * qemu-img(1), for images of formats that are not our own.
 *
 * It is confined as an image server is (vmms/image/guard/image_guard.h): it has the files that are
 * passed to it, and nothing else; where we are root it is somebody without rights.
 *
 * Thread: the process's only one.
 */
#pragma once

#include "common/base/cc.h"
#include "vmms/disk/disk_work.h"

#define QEMU_IMG_FILES_MAX 2

/* One of its files: what it is, and how it is used. */
struct qemu_img_file {
	int fd;
	enum image_format format;
	bool writable;
};

/* Bytes that the guest sees. Return: 0; negative with *work->failure filled. */
int qemu_img_measure(struct disk_work *work, const struct qemu_img_file *file,
		     uint64_t *ret_size) MUST_CHECK;

/* Copies what the guest sees into an image of the same size that holds zeros. */
int qemu_img_convert(struct disk_work *work, const struct qemu_img_file *source,
		     const struct qemu_img_file *target) MUST_CHECK;

/* *ret_report: what it has found, as it says it; put by the caller. */
int qemu_img_check(struct disk_work *work, const struct qemu_img_file *file, bool repair,
		   struct json_object **ret_report) MUST_CHECK;

/* Makes the disk larger. */
int qemu_img_grow(struct disk_work *work, const struct qemu_img_file *file,
		  uint64_t size) MUST_CHECK;
