/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What there is to know of a disk: of its file, of its parts, and whether it is whole. */
#include "vmms/disk/disk_file.h"
#include "vmms/disk/qemu_img.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define IN_USE_ATTEMPTS 3    /* to read the tables of an image that is being written */
#define RUNS_MAX        2000 /* of one answer */

static struct json_object *describe_file(struct disk_work *work, const struct disk_file *file)
{
	struct json_object *found =
		json_make("path", json_object_new_string(work->request->path), "format",
			  json_object_new_string(image_format_names[file->format]), "file_size",
			  json_object_new_int64(file->status.st_size), "allocated",
			  json_object_new_int64((int64_t)file->status.st_blocks * 512), "in_use",
			  json_object_new_boolean(file->in_use), NULL);

	if (file->vm)
		json_add(&found, "vm", json_object_new_string(file->vm));
	return found;
}

/* ---- info ---- */

static void info_add_parent(struct json_object **found, const struct vhdx_parent *parent)
{
	const char *path = parent->relative[0] ? parent->relative
			   : parent->volume[0] ? parent->volume
					       : parent->absolute;
	char linkage[GUID_TEXT_SIZE];

	guid_format(&parent->linkage, linkage);
	json_add(found, "parent",
		 json_make("path", json_object_new_string(path), "linkage",
			   json_object_new_string(linkage), NULL));
}

static void info_add_vhdx(struct json_object **found, const struct vhdx *vhdx)
{
	const char *type = vhdx->has_parent ? "differencing" : vhdx->fixed ? "fixed" : "dynamic";
	char id[GUID_TEXT_SIZE];

	guid_format(&vhdx->id, id);
	json_add(found, "size", json_object_new_int64((int64_t)vhdx->size));
	json_add(found, "type", json_object_new_string(type));
	json_add(found, "block_size", json_object_new_int64(vhdx->block_size));
	json_add(found, "sector_size", json_object_new_int64(vhdx->sector_size));
	json_add(found, "physical_sector_size", json_object_new_int64(vhdx->physical_sector_size));
	json_add(found, "id", json_object_new_string(id));
	/* Of one that is in use, it is always there. */
	json_add(found, "log_is_pending",
		 json_object_new_boolean(!guid_is_null(&vhdx->header.log)));
	if (vhdx->has_parent)
		info_add_parent(found, &vhdx->parent);
}

/* Of one in use, tables may change between two reads. */
static int info_vhdx(struct disk_work *work, const struct disk_file *file)
{
	struct vhdx_patches patches;
	struct vhdx vhdx;
	uint64_t size;
	int r = -EAGAIN;

	for (int i = 0; r && i < (file->in_use ? IN_USE_ATTEMPTS : 1); i++)
		r = vhdx_open_fd(file->fd, false, &vhdx, &patches, &size);
	if (r)
		return disk_file_refuse(work, file, r);
	vhdx_patches_deinit(&patches);
	info_add_vhdx(&work->found, &vhdx);
	return 0;
}

static int info_foreign(struct disk_work *work, const struct disk_file *file)
{
	const struct qemu_img_file image = { .fd = file->fd, .format = file->format };
	uint64_t size;
	int r = qemu_img_measure(work, &image, &size);

	if (r == 0)
		json_add(&work->found, "size", json_object_new_int64((int64_t)size));
	return r;
}

static int info_raw(struct disk_work *work, const struct disk_file *file)
{
	off_t size = lseek(file->fd, 0, SEEK_END);

	json_add(&work->found, "size", json_object_new_int64(size));
	return 0;
}

int disk_info(struct disk_work *work)
{
	struct disk_file file;
	int r = disk_file_open(work, false, true, &file);

	if (r < 0)
		return r;
	work->found = describe_file(work, &file);
	if (file.format == IMAGE_VHDX)
		r = info_vhdx(work, &file);
	else
		r = file.format == IMAGE_RAW ? info_raw(work, &file) : info_foreign(work, &file);
	close(file.fd);
	return r;
}

/* ---- check ---- */

struct checking {
	struct disk_work *work;
	struct json_object *problems;
	uint64_t unused; /* bytes of the file that nothing needs */
	bool repaired;
};

static void check_add(struct checking *checking, bool is_so, const char *text)
{
	if (is_so)
		json_append(&checking->problems, json_object_new_string(text));
}

/* So many of them. */
static void check_count(struct checking *checking, uint64_t count, const char *text)
{
	char problem[128];

	snprintf(problem, sizeof(problem), "%" PRIu64 " %s", count, text);
	check_add(checking, count > 0, problem);
}

static void check_judge(struct checking *checking, const struct vhdx_check *check, bool log)
{
	check_add(checking, log, "it was not closed: its log is to be replayed");
	check_add(checking, check->headers_differ, "one of its two headers is damaged");
	check_add(checking, check->regions_damaged, "one of its two tables of regions is damaged");
	check_count(checking, check->wrong, "entries of its table of blocks make no sense");
	check_count(checking, check->missing, "blocks lie behind the end of the file");
	checking->unused = check->unused;
}

static int check_opened(struct checking *checking, struct vhdx_file *file, struct vhdx *vhdx,
			const struct vhdx_patches *patches)
{
	struct vhdx_check check;
	int r = vhdx_check(file, patches, vhdx, &check);

	if (r == 0 && checking->work->request->repair &&
	    (check.headers_differ || check.regions_damaged)) {
		r = vhdx_mend(file, vhdx);
		checking->repaired = true;
		if (r == 0)
			r = vhdx_check(file, patches, vhdx, &check);
	}
	if (r == 0)
		check_judge(checking, &check, !guid_is_null(&vhdx->header.log));
	return r;
}

/* Replaying the log is the first part of a repair. */
static int check_vhdx(struct checking *checking, const struct disk_file *file)
{
	bool repair = checking->work->request->repair;
	off_t size = lseek(file->fd, 0, SEEK_END);
	struct vhdx_file below = vhdx_file_of(&file->fd, size > 0 ? (uint64_t)size : 0);
	struct vhdx_patches patches;
	struct vhdx vhdx;
	bool had_log = false;
	int r;

	if (repair) {
		r = vhdx_open(&below, false, &vhdx, &patches);
		if (r)
			return r;
		had_log = !guid_is_null(&vhdx.header.log);
		vhdx_patches_deinit(&patches);
	}
	r = vhdx_open(&below, repair, &vhdx, &patches);
	if (r)
		return r;
	checking->repaired = had_log;
	r = check_opened(checking, &below, &vhdx, &patches);
	vhdx_patches_deinit(&patches);
	return r;
}

static uint64_t check_member(struct json_object *report, const char *key)
{
	struct json_object *value;

	return json_object_object_get_ex(report, key, &value)
		       ? (uint64_t)MAX(json_object_get_int64(value), 0)
		       : 0;
}

static int check_foreign(struct checking *checking, const struct disk_file *file)
{
	bool repair = checking->work->request->repair;
	const struct qemu_img_file image = { file->fd, file->format, repair };
	AUTO_JSON struct json_object *report = NULL;
	int r = qemu_img_check(checking->work, &image, repair, &report);

	if (r < 0)
		return r;
	checking->repaired =
		check_member(report, "corruptions-fixed") || check_member(report, "leaks-fixed");
	check_count(checking, check_member(report, "check-errors"),
		    "errors kept it from being looked at as a whole");
	check_count(checking, check_member(report, "corruptions"),
		    "places of its tables are damaged");
	check_count(checking, check_member(report, "leaks"),
		    "clusters of the file belong to nothing");
	return 0;
}

/* What cannot even be opened is what a check is for. */
static int check_file(struct checking *checking, const struct disk_file *file)
{
	int r = 0;

	if (file->format == IMAGE_VHDX)
		r = check_vhdx(checking, file);
	else if (file->format != IMAGE_RAW)
		return check_foreign(checking, file);
	if (r > 0)
		json_append(&checking->problems, json_object_new_string(vhdx_error_text(r)));
	return r < 0 ? disk_file_refuse(checking->work, file, r) : 0;
}

int disk_check(struct disk_work *work)
{
	struct checking checking = { .work = work, .problems = json_object_new_array() };
	struct disk_file file;
	int r = disk_file_open(work, work->request->repair, false, &file);

	if (r < 0) {
		json_object_put(checking.problems);
		return r;
	}
	work->found = describe_file(work, &file);
	r = check_file(&checking, &file);
	json_add(&work->found, "unused", json_object_new_int64((int64_t)checking.unused));
	json_add(&work->found, "repaired", json_object_new_boolean(checking.repaired));
	json_add(&work->found, "problems", checking.problems);
	close(file.fd);
	return r;
}

/* ---- map ---- */

static void map_add(struct json_object **runs, uint64_t offset, const struct content_run *run)
{
	static const char *const kinds[] = {
		[CONTENT_DATA] = "data", [CONTENT_ZERO] = "zero", [CONTENT_HOLE] = "hole"
	};
	struct json_object *row = json_make("offset", json_object_new_int64((int64_t)offset),
					    "length", json_object_new_int64((int64_t)run->length),
					    "kind", json_object_new_string(kinds[run->kind]), NULL);

	if (run->kind == CONTENT_DATA)
		json_add(&row, "file_offset", json_object_new_int64((int64_t)run->file_offset));
	json_append(runs, row);
}

/* What does not fit comes with the next question, from "next" on. */
static int map_content(struct disk_work *work, struct image_content *content)
{
	uint64_t offset = work->request->offset, size = image_content_size(content);
	struct json_object *runs = json_object_new_array();
	int r = 0;

	for (unsigned i = 0; r == 0 && i < RUNS_MAX && offset < size; i++) {
		struct content_run run;

		r = image_content_find(content, offset, &run);
		if (r == 0)
			map_add(&runs, offset, &run);
		offset += r == 0 ? run.length : 0;
		if (r == 0 && !disk_work_goes_on(work, offset, size))
			r = -ECANCELED;
	}
	json_add(&work->found, "size", json_object_new_int64((int64_t)size));
	if (offset < size)
		json_add(&work->found, "next", json_object_new_int64((int64_t)offset));
	json_add(&work->found, "runs", runs);
	return r;
}

int disk_map(struct disk_work *work)
{
	struct image_content *content;
	struct disk_file file;
	int r = disk_file_open(work, false, false, &file);

	if (r < 0)
		return r;
	work->found = describe_file(work, &file);
	r = image_content_open(file.fd, file.format, false, &content);
	if (r == 0) {
		r = map_content(work, content);
		image_content_free(content);
	}
	if (r)
		r = disk_file_refuse(work, &file, r);
	close(file.fd);
	return r;
}
