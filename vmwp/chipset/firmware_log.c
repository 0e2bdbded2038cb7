/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What firmware says of itself. */
#include "vmwp/chipset/firmware_log.h"

#include "common/base/log.h"
#include "common/base/state.h"
#include "vmwp/base/platform.h"

#include <string.h>

#define PRESENT 0xe9 /* what firmware reads where the port is one */

struct firmware_log {
	const struct chipset_callbacks *callbacks;
	void *data;
	struct firmware_words words;
	enum firmware_word word; /* that the host has not been told of */
	uint8_t length;
	uint8_t line[FIRMWARE_LOG_LINE];
};

static uint64_t firmware_log_read(void *device, uint64_t offset, unsigned size)
{
	return PRESENT;
}

static void firmware_log_end_line(struct firmware_log *log)
{
	if (log->length > 0)
		log_debug("firmware: %.*s", log->length, (const char *)log->line);
	log->length = 0;
	memset(log->line, 0, sizeof(log->line));
}

/* It is a guest that writes: what is no printable ASCII is left out. */
static enum power_request firmware_log_write(void *device, uint64_t offset, unsigned size,
					     uint64_t value)
{
	struct firmware_log *log = device;
	uint8_t byte = (uint8_t)value;
	enum firmware_word word = firmware_words_take(&log->words, byte);

	if (word != FIRMWARE_SAYS_NOTHING)
		log->word = word;
	if (byte == '\n' || log->length == FIRMWARE_LOG_LINE)
		firmware_log_end_line(log);
	if (byte >= ' ' && byte <= '~')
		log->line[log->length++] = byte;
	return POWER_NOTHING;
}

/* ---- The row ---- */

static void firmware_log_init(void *device, const struct chipset_config *config)
{
	struct firmware_log *log = device;

	log->callbacks = config->callbacks;
	log->data = config->data;
}

static void firmware_log_reset(void *device)
{
	struct firmware_log *log = device;

	firmware_log_end_line(log);
	log->words = (struct firmware_words){ 0 };
	log->word = FIRMWARE_SAYS_NOTHING;
}

static void firmware_log_settle(void *device)
{
	struct firmware_log *log = device;

	if (log->word != FIRMWARE_SAYS_NOTHING)
		log->callbacks->firmware_said(log->data, log->word);
	log->word = FIRMWARE_SAYS_NOTHING;
}

static void firmware_log_save(const void *device, struct state_writer *writer)
{
	const struct firmware_log *log = device;
	struct firmware_log_state state = { .length = log->length };

	memcpy(state.line, log->line, sizeof(state.line));
	state_put(writer, &state, sizeof(state));
}

static bool firmware_log_is_valid(const struct firmware_log_state *state)
{
	static const uint8_t zero[sizeof(state->zero)];

	if (state->length > FIRMWARE_LOG_LINE || memcmp(state->zero, zero, sizeof(zero)) != 0)
		return false;
	for (unsigned i = 0; i < FIRMWARE_LOG_LINE; i++)
		if (i < state->length ? state->line[i] < ' ' || state->line[i] > '~'
				      : state->line[i] != 0)
			return false;
	return true;
}

static int firmware_log_restore(void *device, struct state_record *record)
{
	struct firmware_log *log = device;
	struct firmware_log_state state;

	if (state_get(record, &state, sizeof(state)) != 0 || !firmware_log_is_valid(&state))
		return STATE_E_INVALID;
	log->length = state.length;
	memcpy(log->line, state.line, sizeof(log->line));
	return 0;
}

const struct chipset_device_ops firmware_log_ops = {
	.name = "firmware log",
	.size = sizeof(struct firmware_log),
	.ports = { { PLATFORM_FIRMWARE_LOG_PORT, 1, 1, firmware_log_read, firmware_log_write } },
	.init = firmware_log_init,
	.reset = firmware_log_reset,
	.settle = firmware_log_settle,
	.state_version = 1,
	.save = firmware_log_save,
	.restore = firmware_log_restore,
};
