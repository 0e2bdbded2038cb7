/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Reports.
 */
#include "tests/guest/report.h"
#include "guest-vsc/machine.h"
#include "guest-vsc/serial.h"
#include "guest-vsc/text.h"

#define LINE_MAX 160

static unsigned passed_count, failed_count;

static void count(bool passed)
{
	if (passed)
		passed_count++;
	else
		failed_count++;
}

bool report(bool passed, const char *name, const char *why, ...)
{
	char text[LINE_MAX];
	va_list arguments;

	count(passed);
	if (passed) {
		serial_print("PASS %s", name);
		return true;
	}
	va_start(arguments, why);
	text_format_list(text, sizeof(text), why, arguments);
	va_end(arguments);
	serial_print("FAIL %s: %s", name, text);
	return false;
}

bool report_code(int code, const char *name)
{
	return report(code == 0, name, "code %d", code);
}

void report_note(const char *format, ...)
{
	char text[LINE_MAX];
	va_list arguments;

	va_start(arguments, format);
	text_format_list(text, sizeof(text), format, arguments);
	va_end(arguments);
	serial_print("NOTE %s", text);
}

void report_done(void)
{
	serial_print("DONE passed=%u failed=%u", passed_count, failed_count);
}

void guest_panic(const char *text)
{
	report(false, "panic", "%s", text);
	report_done();
	machine_power_off();
}
