/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The chipset.
 *
 * All devices have byte registers at consecutive ports, so wider accesses are split; that is right
 * for PM1 too, whose sleep type and sleep enable share a byte.
 */
#include "vmwp/chipset/chipset.h"

#include "vmwp/base/platform.h"
#include "vmwp/chipset/rtc.h"
#include "vmwp/chipset/serial.h"

#include <errno.h>
#include <pthread.h>
#include <time.h>

#define SECOND_NS UINT64_C(1000000000)

struct chipset {
	pthread_mutex_t lock; /* of all below */
	const struct chipset_callbacks *callbacks;
	void *data;
	struct serial serial;
	struct rtc rtc;
	struct power power;
	bool serial_level;           /* of its interrupt, as last set */
	bool rtc_level, power_level; /* likewise */
	bool ticks;                  /* chipset_tick() is called */
	bool input_short;            /* the console had more input than there was room */
};

/* A run of ports. read and write take the offset from the first; NULL: ones, swallowed. */
struct chipset_range {
	uint16_t first, last;
	uint8_t (*read)(struct chipset *chipset, unsigned offset);
	enum power_request (*write)(struct chipset *chipset, unsigned offset, uint8_t value);
};

static void chipset_serial_changed(struct chipset *chipset)
{
	bool level = serial_interrupt(&chipset->serial);

	if (level != chipset->serial_level) {
		chipset->serial_level = level;
		chipset->callbacks->set_interrupt(chipset->data, PLATFORM_SERIAL_IRQ, level);
	}
	if (chipset->input_short && serial_input_room(&chipset->serial)) {
		chipset->input_short = false;
		chipset->callbacks->console_room(chipset->data);
	}
}

static uint8_t chipset_read_serial(struct chipset *chipset, unsigned offset)
{
	uint8_t value = serial_read(&chipset->serial, offset);

	chipset_serial_changed(chipset);
	return value;
}

static enum power_request chipset_write_serial(struct chipset *chipset, unsigned offset,
					       uint8_t value)
{
	bool had_output = serial_has_output(&chipset->serial);

	serial_write(&chipset->serial, offset, value);
	chipset_serial_changed(chipset);
	if (!had_output && serial_has_output(&chipset->serial))
		chipset->callbacks->console_output(chipset->data);
	return POWER_NOTHING;
}

/* Nanoseconds of a clock that is never set. */
static uint64_t chipset_monotonic(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * SECOND_NS + (uint64_t)now.tv_nsec;
}

static struct timespec chipset_time(void)
{
	struct timespec now;

	clock_gettime(CLOCK_REALTIME, &now);
	return now;
}

static void chipset_power_changed(struct chipset *chipset)
{
	bool level = power_interrupt(&chipset->power);

	if (level != chipset->power_level) {
		chipset->power_level = level;
		chipset->callbacks->set_interrupt(chipset->data, PLATFORM_SCI_IRQ, level);
	}
}

static void chipset_rtc_changed(struct chipset *chipset)
{
	bool level = rtc_interrupt(&chipset->rtc);

	if (level != chipset->rtc_level) {
		chipset->rtc_level = level;
		chipset->callbacks->set_interrupt(chipset->data, PLATFORM_RTC_IRQ, level);
		if (level)
			power_alarm(&chipset->power);
		chipset_power_changed(chipset);
	}
	if (chipset->rtc.due != 0 && !chipset->ticks) {
		chipset->ticks = true;
		chipset->callbacks->alarm(chipset->data);
	}
}

static uint8_t chipset_read_rtc(struct chipset *chipset, unsigned offset)
{
	uint8_t value = rtc_read(&chipset->rtc, offset, chipset_time().tv_sec);

	chipset_rtc_changed(chipset);
	return value;
}

static enum power_request chipset_write_rtc(struct chipset *chipset, unsigned offset, uint8_t value)
{
	rtc_write(&chipset->rtc, offset, value, chipset_time().tv_sec);
	chipset_rtc_changed(chipset);
	return POWER_NOTHING;
}

/* By the second: a clock that was set, or an alarm that comes earlier, needs no more than that. */
uint64_t chipset_tick(struct chipset *chipset)
{
	struct timespec now = chipset_time();
	uint64_t delay;

	pthread_mutex_lock(&chipset->lock);
	rtc_tick(&chipset->rtc, now.tv_sec);
	chipset->ticks = chipset->rtc.due != 0;
	chipset_rtc_changed(chipset);
	delay = chipset->ticks ? SECOND_NS - (uint64_t)now.tv_nsec : 0;
	pthread_mutex_unlock(&chipset->lock);
	return delay;
}

static uint8_t chipset_read_event(struct chipset *chipset, unsigned offset)
{
	return power_read_event(&chipset->power, offset);
}

static enum power_request chipset_write_event(struct chipset *chipset, unsigned offset,
					      uint8_t value)
{
	power_write_event(&chipset->power, offset, value);
	chipset_power_changed(chipset);
	return POWER_NOTHING;
}

static uint8_t chipset_read_control(struct chipset *chipset, unsigned offset)
{
	return power_read_control(&chipset->power, offset);
}

static enum power_request chipset_write_control(struct chipset *chipset, unsigned offset,
						uint8_t value)
{
	return power_write_control(&chipset->power, offset, value);
}

static uint8_t chipset_read_timer(struct chipset *chipset, unsigned offset)
{
	return power_read_timer(&chipset->power, offset, offset == 0 ? chipset_monotonic() : 0);
}

static enum power_request chipset_write_timer(struct chipset *chipset, unsigned offset,
					      uint8_t value)
{
	return POWER_NOTHING;
}

static uint8_t chipset_read_nmi_status(struct chipset *chipset, unsigned offset)
{
	return PLATFORM_NMI_STATUS;
}

static enum power_request chipset_write_nmi_status(struct chipset *chipset, unsigned offset,
						   uint8_t value)
{
	return POWER_NOTHING;
}

/* A keyboard controller that is never busy, so that a guest does not wait before resetting. */
static uint8_t chipset_read_keyboard(struct chipset *chipset, unsigned offset)
{
	return 0;
}

static enum power_request chipset_write_keyboard(struct chipset *chipset, unsigned offset,
						 uint8_t value)
{
	return value == PLATFORM_KEYBOARD_RESET ? POWER_RESET : POWER_NOTHING;
}

static uint8_t chipset_read_reset(struct chipset *chipset, unsigned offset)
{
	return 0;
}

static enum power_request chipset_write_reset(struct chipset *chipset, unsigned offset,
					      uint8_t value)
{
	return value & PLATFORM_RESET_CPU ? POWER_RESET : POWER_NOTHING;
}

#define RANGE(port, count, name)                                                     \
	{                                                                            \
		port, (port) + (count)-1, chipset_read_##name, chipset_write_##name, \
	}

/* Ascending. */
static const struct chipset_range ranges[] = {
	RANGE(PLATFORM_NMI_STATUS_PORT, 1, nmi_status),
	RANGE(PLATFORM_KEYBOARD_PORT, 1, keyboard),
	RANGE(PLATFORM_RTC_PORT, 2, rtc),
	RANGE(PLATFORM_SERIAL_PORT, SERIAL_REGISTERS, serial),
	RANGE(PLATFORM_PM1_EVENT_PORT, 4, event),
	RANGE(PLATFORM_PM1_CONTROL_PORT, 2, control),
	RANGE(PLATFORM_PM_TIMER_PORT, 4, timer),
	RANGE(PLATFORM_RESET_PORT, 1, reset),
};

static const struct chipset_range *chipset_find(unsigned port)
{
	size_t low = 0, high = ARRAY_SIZE(ranges);

	while (low < high) {
		size_t middle = (low + high) / 2;

		if (port > ranges[middle].last)
			low = middle + 1;
		else if (port < ranges[middle].first)
			high = middle;
		else
			return &ranges[middle];
	}
	return NULL;
}

static enum power_request chipset_access_byte(struct chipset *chipset, unsigned port, bool write,
					      uint8_t *byte)
{
	const struct chipset_range *range = chipset_find(port);

	if (write)
		return range ? range->write(chipset, port - range->first, *byte) : POWER_NOTHING;
	*byte = range ? range->read(chipset, port - range->first) : 0xff;
	return POWER_NOTHING;
}

enum power_request chipset_access(struct chipset *chipset, const struct vid_exit *exit)
{
	enum power_request request = POWER_NOTHING;
	uint8_t *bytes = exit->io.data;

	pthread_mutex_lock(&chipset->lock);
	for (uint32_t i = 0; i < exit->io.count && request == POWER_NOTHING; i++)
		for (unsigned j = 0; j < exit->io.size && request == POWER_NOTHING; j++)
			request = chipset_access_byte(chipset, exit->io.port + j, exit->io.write,
						      &bytes[i * exit->io.size + j]);
	pthread_mutex_unlock(&chipset->lock);
	return request;
}

int chipset_new(const struct chipset_callbacks *callbacks, void *data, struct chipset **ret_chipset)
{
	struct chipset *chipset = calloc(1, sizeof(*chipset));

	if (!chipset)
		return -ENOMEM;
	pthread_mutex_init(&chipset->lock, NULL);
	chipset->callbacks = callbacks;
	chipset->data = data;
	chipset_reset(chipset);
	*ret_chipset = chipset;
	return 0;
}

void chipset_free(struct chipset *chipset)
{
	if (!chipset)
		return;
	pthread_mutex_destroy(&chipset->lock);
	free(chipset);
}

void chipset_reset(struct chipset *chipset)
{
	pthread_mutex_lock(&chipset->lock);
	serial_reset(&chipset->serial);
	rtc_reset(&chipset->rtc);
	power_reset(&chipset->power, chipset_monotonic());
	chipset->serial_level = chipset->rtc_level = chipset->power_level = false;
	chipset_serial_changed(chipset);
	pthread_mutex_unlock(&chipset->lock);
}

size_t chipset_console_take(struct chipset *chipset, void *buffer, size_t size)
{
	size_t n;

	pthread_mutex_lock(&chipset->lock);
	n = serial_take_output(&chipset->serial, buffer, size);
	chipset_serial_changed(chipset);
	pthread_mutex_unlock(&chipset->lock);
	return n;
}

size_t chipset_console_put(struct chipset *chipset, const void *data, size_t size)
{
	size_t n;

	pthread_mutex_lock(&chipset->lock);
	n = serial_put_input(&chipset->serial, data, size);
	chipset->input_short = n < size;
	chipset_serial_changed(chipset);
	pthread_mutex_unlock(&chipset->lock);
	return n;
}

void chipset_console_set_stalled(struct chipset *chipset, bool stalled)
{
	pthread_mutex_lock(&chipset->lock);
	serial_set_stalled(&chipset->serial, stalled);
	chipset_serial_changed(chipset);
	pthread_mutex_unlock(&chipset->lock);
}

bool chipset_console_is_full(struct chipset *chipset)
{
	bool full;

	pthread_mutex_lock(&chipset->lock);
	full = serial_output_is_full(&chipset->serial);
	pthread_mutex_unlock(&chipset->lock);
	return full;
}

uint32_t chipset_console_written(struct chipset *chipset)
{
	uint32_t written;

	pthread_mutex_lock(&chipset->lock);
	written = serial_written(&chipset->serial);
	pthread_mutex_unlock(&chipset->lock);
	return written;
}
