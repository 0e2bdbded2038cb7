/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Changing a VHDX image that nobody uses, by its log.
 *
 * As a running disk does (vsp/storage/disk_vhdx.c): an entry's tail is its own beginning, and
 * entries lie in alternate halves of the log.
 */
#include "common/image/vhdx_internal.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* Size of the file as entries tell it. */
static uint64_t vhdx_edit_file_size(const struct vhdx_editor *editor)
{
	return ALIGN_DOWN(editor->file->size, VHDX_MIB);
}

/* A log is named only once there is an entry in it: without any, the image would be corrupt. */
static int vhdx_edit_open_log(struct vhdx_editor *editor)
{
	const struct vhdx_log_position position = { .sequence = editor->sequence++,
						    .flushed = vhdx_edit_file_size(editor),
						    .last = vhdx_edit_file_size(editor) };
	struct vhdx_file *file = editor->file;
	struct guid log;
	uint32_t size;
	int r = guid_generate(&log);

	if (r < 0)
		return r;
	size = vhdx_entry_make(editor->entry, &log, &position, NULL, 0);
	r = file->write(file->data, editor->vhdx->header.log_offset, editor->entry, size);
	if (r == 0)
		r = file->flush(file->data);
	if (r)
		return r;
	editor->vhdx->header.log = log;
	return vhdx_write_headers(file, editor->vhdx);
}

int vhdx_edit_begin_as(struct vhdx_editor *editor, struct vhdx_file *file, struct vhdx *vhdx,
		       const struct guid *data_write)
{
	int r;

	*editor = (struct vhdx_editor){ .file = file, .vhdx = vhdx, .sequence = 1 };
	if (vhdx->header.log_length / 2 < VHDX_ENTRY_SIZE)
		return VHDX_E_UNSUPPORTED;
	editor->entry = malloc(VHDX_ENTRY_SIZE);
	editor->pages = malloc((size_t)VHDX_ENTRY_PAGES * VHDX_PAGE);
	if (!editor->entry || !editor->pages)
		return -ENOMEM;
	r = guid_generate(&vhdx->header.file_write);
	vhdx->header.data_write = *data_write;
	if (r == 0)
		r = vhdx_write_headers(file, vhdx);
	return r == 0 ? vhdx_edit_open_log(editor) : r;
}

int vhdx_edit_begin(struct vhdx_editor *editor, struct vhdx_file *file, struct vhdx *vhdx)
{
	struct guid data_write;
	int r = guid_generate(&data_write);

	*editor = (struct vhdx_editor){ 0 };
	return r == 0 ? vhdx_edit_begin_as(editor, file, vhdx, &data_write) : r;
}

int vhdx_edit_commit(struct vhdx_editor *editor, const struct vhdx_log_page *pages, unsigned count)
{
	const struct vhdx_header *header = &editor->vhdx->header;
	struct vhdx_file *file = editor->file;
	uint32_t place = editor->sequence % 2 ? 0 : header->log_length / 2;
	const struct vhdx_log_position position = { .sequence = editor->sequence++,
						    .flushed = vhdx_edit_file_size(editor),
						    .last = vhdx_edit_file_size(editor),
						    .tail = place };
	uint32_t size;
	int r;

	size = vhdx_entry_make(editor->entry, &header->log, &position, pages, count);
	r = file->flush(file->data);
	if (r == 0)
		r = file->write(file->data, header->log_offset + place, editor->entry, size);
	if (r == 0)
		r = file->flush(file->data);
	for (unsigned i = 0; r == 0 && i < count; i++)
		r = file->write(file->data, pages[i].offset, pages[i].bytes, VHDX_PAGE);
	return r == 0 ? file->flush(file->data) : r;
}

/* ---- Pages, and entries of the table ---- */

/* The copy of that page, which is read if there is none. */
int vhdx_edit_page(struct vhdx_editor *editor, uint64_t offset, uint8_t **ret_page)
{
	int r = 0;

	for (unsigned i = 0; i < editor->page_count; i++) {
		*ret_page = editor->pages + (size_t)i * VHDX_PAGE;
		if (editor->page_offsets[i] == offset)
			return 0;
	}
	if (editor->page_count == VHDX_ENTRY_PAGES)
		r = vhdx_edit_commit_entries(editor);
	*ret_page = editor->pages + (size_t)editor->page_count * VHDX_PAGE;
	if (r == 0)
		r = vhdx_read(editor->file, offset, *ret_page, VHDX_PAGE);
	if (r == 0)
		editor->page_offsets[editor->page_count++] = offset;
	return r;
}

int vhdx_edit_entry(struct vhdx_editor *editor, uint64_t index, uint64_t entry)
{
	uint64_t offset = index * sizeof(entry);
	uint8_t *page;
	int r = vhdx_edit_page(editor, editor->vhdx->bat_offset + ALIGN_DOWN(offset, VHDX_PAGE),
			       &page);

	if (r == 0)
		memcpy(page + offset % VHDX_PAGE, &entry, sizeof(entry));
	return r;
}

int vhdx_edit_commit_entries(struct vhdx_editor *editor)
{
	struct vhdx_log_page pages[VHDX_ENTRY_PAGES];
	unsigned count = editor->page_count;

	for (unsigned i = 0; i < count; i++) {
		pages[i].offset = editor->page_offsets[i];
		pages[i].bytes = editor->pages + (size_t)i * VHDX_PAGE;
	}
	editor->page_count = 0;
	return count ? vhdx_edit_commit(editor, pages, count) : 0;
}

/* ---- The end ---- */

void vhdx_edit_abandon(struct vhdx_editor *editor)
{
	free(editor->entry);
	free(editor->pages);
	editor->entry = editor->pages = NULL;
}

int vhdx_edit_end(struct vhdx_editor *editor)
{
	editor->vhdx->header.log = (struct guid){ { 0 } };
	return vhdx_write_headers(editor->file, editor->vhdx);
}
