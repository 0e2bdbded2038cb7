/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * New qcow2 images without content: a header, counts of references, and an empty table. What is
 * written into them is written by QEMU.
 */
#include "common/image/qcow2_make.h"

#include "common/base/cleanup.h"
#include "common/base/error.h"

#include <endian.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define CLUSTER_BITS   16
#define CLUSTER        (UINT64_C(1) << CLUSTER_BITS)
#define TABLE_COVERS   (CLUSTER / sizeof(uint64_t) * CLUSTER) /* by one entry of the first table */
#define TABLE_OFFSET   (3 * CLUSTER) /* behind header, table of counts, counts */
#define REFCOUNT_ORDER 4             /* 16 bits each */
#define HEADER_LENGTH  104

/* Version 3, big-endian. */
struct qcow2_header {
	uint32_t magic, version;
	uint64_t backing_offset;
	uint32_t backing_size, cluster_bits;
	uint64_t size;
	uint32_t encryption, table_entries;
	uint64_t table_offset, counts_offset;
	uint32_t counts_clusters, snapshots;
	uint64_t snapshots_offset, incompatible, compatible, automatic;
	uint32_t refcount_order, header_length;
};
_Static_assert(sizeof(struct qcow2_header) == HEADER_LENGTH, "stored format");

static int qcow2_write(int fd, const void *bytes, size_t size, uint64_t offset)
{
	ssize_t n = pwrite(fd, bytes, size, (off_t)offset);

	if (n < 0)
		return error_origin(-errno);
	return (size_t)n == size ? 0 : -ENOSPC;
}

static int qcow2_write_counts(int fd, uint64_t clusters)
{
	const uint64_t counts = htobe64(2 * CLUSTER);
	AUTO_FREE uint16_t *block = calloc(1, CLUSTER);
	int r = block ? qcow2_write(fd, &counts, sizeof(counts), CLUSTER) : -ENOMEM;

	for (uint64_t i = 0; r == 0 && i < clusters; i++)
		block[i] = htobe16(1);
	return r == 0 ? qcow2_write(fd, block, CLUSTER, 2 * CLUSTER) : r;
}

int qcow2_make(int fd, uint64_t size)
{
	uint64_t entries = (size + TABLE_COVERS - 1) / TABLE_COVERS;
	uint64_t end = TABLE_OFFSET + ALIGN_UP(entries * sizeof(uint64_t), CLUSTER);
	const struct qcow2_header header = {
		.magic = htobe32(0x514649fb), /* "QFI\xfb" */
		.version = htobe32(3),
		.cluster_bits = htobe32(CLUSTER_BITS),
		.size = htobe64(size),
		.table_entries = htobe32((uint32_t)entries),
		.table_offset = htobe64(TABLE_OFFSET),
		.counts_offset = htobe64(CLUSTER),
		.counts_clusters = htobe32(1),
		.refcount_order = htobe32(REFCOUNT_ORDER),
		.header_length = htobe32(HEADER_LENGTH),
	};
	int r;

	if (size == 0 || size > QCOW2_MAKE_MAX || size % 512)
		return -EINVAL;
	if (ftruncate(fd, (off_t)end) < 0)
		return error_origin(-errno);
	r = qcow2_write_counts(fd, end / CLUSTER);
	return r == 0 ? qcow2_write(fd, &header, sizeof(header), 0) : r;
}
