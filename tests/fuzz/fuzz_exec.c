/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What a client may ask the agent of a guest for, up to EXEC_RUN; and frames as such.
 *
 * Input: the stream, which comes in pieces whose size is its first byte.
 */
#include "common/wire/exec.h"
#include "guest-vsc/agent/request.h"

#include <assert.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(const struct request *request)
{
	size_t size = 0;

	assert(request->count <= EXEC_ARGUMENTS_MAX && !request->words[request->count]);
	for (size_t i = 0; i < request->count; i++)
		size += strlen(request->words[i]) + 1;
	assert(size == request->text_size && size <= sizeof(request->text));
	assert(strlen(request->term) < sizeof(request->term));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct exec_reader reader;
	static struct request request;
	size_t piece = size > 0 ? data[0] * 97u + 1u : 1, at = 1;
	struct exec_frame frame;
	int r = EXEC_E_EMPTY;

	memset(&reader, 0, sizeof(reader));
	memset(&request, 0, sizeof(request));
	while (at < size && r == EXEC_E_EMPTY && !request.complete) {
		size_t room;
		uint8_t *to = exec_reader_room(&reader, &room);
		size_t most = MIN(piece, room), count = MIN(most, size - at);

		assert(room > 0);
		memcpy(to, data + at, count);
		exec_reader_fill(&reader, count);
		at += count;
		while (!request.complete && (r = exec_reader_next(&reader, &frame)) == 0) {
			assert(frame.size <= EXEC_PAYLOAD_MAX);
			if (!request_take(&request, &frame))
				return 0;
			check(&request);
		}
	}
	return 0;
}
