/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The real-time clock as a row of the chipset's table. */
#include "vmwp/chipset/rtc_device.h"

#include "vmwp/base/platform.h"
#include "vmwp/chipset/chipset_devices.h"
#include "vmwp/chipset/power.h"
#include "vmwp/chipset/rtc.h"

#include <time.h>

#define SECOND_NS UINT64_C(1000000000)

struct rtc_device {
	struct rtc rtc;
	struct power *power;
	const struct chipset_callbacks *callbacks;
	void *data;
	bool level; /* of its interrupt, when it was last looked at */
	bool ticks; /* rtc_device_tick() will be called */
};

static struct timespec rtc_device_time(void)
{
	struct timespec now;

	clock_gettime(CLOCK_REALTIME, &now);
	return now;
}

static uint64_t rtc_device_read(void *device, uint64_t offset, unsigned size)
{
	struct rtc_device *rtc_device = device;

	return rtc_read(&rtc_device->rtc, (unsigned)offset, rtc_device_time().tv_sec);
}

static enum power_request rtc_device_write(void *device, uint64_t offset, unsigned size,
					   uint64_t value)
{
	struct rtc_device *rtc_device = device;

	rtc_write(&rtc_device->rtc, (unsigned)offset, (uint8_t)value, rtc_device_time().tv_sec);
	return POWER_NOTHING;
}

static bool rtc_device_level(const void *device)
{
	const struct rtc_device *rtc_device = device;

	return rtc_interrupt(&rtc_device->rtc);
}

static void rtc_device_settle(void *device)
{
	struct rtc_device *rtc_device = device;
	bool level = rtc_interrupt(&rtc_device->rtc);

	if (level && !rtc_device->level)
		power_alarm(rtc_device->power);
	rtc_device->level = level;
	if (rtc_device->rtc.due != 0 && !rtc_device->ticks) {
		rtc_device->ticks = true;
		rtc_device->callbacks->alarm(rtc_device->data);
	}
}

/* By the second: a clock that was set, or an alarm that comes earlier, needs no more than that. */
uint64_t rtc_device_tick(void *device)
{
	struct rtc_device *rtc_device = device;
	struct timespec now = rtc_device_time();

	rtc_tick(&rtc_device->rtc, now.tv_sec);
	rtc_device->ticks = rtc_device->rtc.due != 0;
	return rtc_device->ticks ? SECOND_NS - (uint64_t)now.tv_nsec : 0;
}

/* ---- The row ---- */

static void rtc_device_init(void *device, const struct chipset_config *config)
{
	struct rtc_device *rtc_device = device;

	rtc_device->power = chipset_devices_get(config->devices, &power_ops);
	rtc_device->callbacks = config->callbacks;
	rtc_device->data = config->data;
}

static void rtc_device_reset(void *device)
{
	struct rtc_device *rtc_device = device;

	rtc_reset(&rtc_device->rtc);
	rtc_device->level = false;
}

static void rtc_device_save(const void *device, struct state_writer *writer)
{
	const struct rtc_device *rtc_device = device;

	rtc_save(&rtc_device->rtc, writer);
}

/* An interrupt that is asserted already is no new event of power management. */
static int rtc_device_restore(void *device, struct state_record *record)
{
	struct rtc_device *rtc_device = device;
	int r = rtc_restore(&rtc_device->rtc, record);

	rtc_device->level = rtc_interrupt(&rtc_device->rtc);
	return r;
}

static void rtc_device_inspect(const void *device, struct json_object **tree)
{
	const struct rtc *rtc = &((const struct rtc_device *)device)->rtc;

	json_add(tree, "offset", json_object_new_int64(rtc->offset));
	json_add(tree, "alarm", json_object_new_int64(rtc->due));
}

const struct chipset_device_ops rtc_device_ops = {
	.name = "rtc",
	.size = sizeof(struct rtc_device),
	.ports = { { PLATFORM_RTC_PORT, 2, 1, rtc_device_read, rtc_device_write } },
	.lines = { { PLATFORM_RTC_IRQ, rtc_device_level } },
	.init = rtc_device_init,
	.reset = rtc_device_reset,
	.settle = rtc_device_settle,
	.state_version = 1,
	.save = rtc_device_save,
	.restore = rtc_device_restore,
	.inspect = rtc_device_inspect,
};
