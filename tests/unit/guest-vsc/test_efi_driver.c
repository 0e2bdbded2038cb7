/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The driver for UEFI, between a firmware and a host that are this test's. */
#include "common/wire/scsi.h"
#include "guest-vsc/hypercall.h"
#include "guest-vsc/machine.h"
#include "guest-vsc/storvsc_client.h"
#include "guest-vsc/uefi/efi.h"
#include "guest-vsc/uefi/efi_machine.h"
#include "tests/fake/client_host.h"
#include "tests/unit/unit.h"

#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#define CONNECTION_ID 0x2000

efi_status_t efi_main(efi_handle_t image, const struct efi_system_table *system);

static struct {
	struct efi_driver_binding *binding;
	struct efi_scsi *scsi;
	void (*exit_boot_services)(efi_event_t event, void *context);
	uint64_t level;
	unsigned pages, opened, events;
	bool hypervisor, hypercalls, handed_over, unloaded;
	uint32_t pci_id;
} machine;

/* ---- The machine ---- */

struct machine_cpuid machine_cpuid(uint32_t leaf)
{
	if (leaf == 1)
		return (struct machine_cpuid){
			.ecx = machine.hypervisor ? HV_CPUID_HYPERVISOR_ECX31 : 0,
		};
	return (struct machine_cpuid){ .ebx = HV_CPUID_VENDOR_EBX,
				       .ecx = HV_CPUID_VENDOR_ECX,
				       .edx = HV_CPUID_VENDOR_EDX };
}

bool hypercall_enable(void)
{
	machine.hypercalls = true;
	return true;
}

void hypercall_disable(void)
{
	machine.hypercalls = false;
}

void efi_machine_hand_over(void)
{
	assert_false(machine.hypercalls);
	machine.handed_over = true;
}

/* ---- The firmware ---- */

static uint64_t raise_tpl(uint64_t level)
{
	uint64_t before = machine.level;

	assert_true(level >= before);
	machine.level = level;
	return before;
}

static void restore_tpl(uint64_t level)
{
	machine.level = level;
}

static efi_status_t allocate_pages(uint32_t how, uint32_t type, uint64_t pages, uint64_t *address)
{
	void *memory;

	assert_int_equal(posix_memalign(&memory, 4096, pages * 4096), 0);
	machine.pages += (unsigned)pages;
	*address = (uintptr_t)memory;
	return EFI_SUCCESS;
}

static efi_status_t free_pages(uint64_t address, uint64_t pages)
{
	free((void *)(uintptr_t)address);
	machine.pages -= (unsigned)pages;
	return EFI_SUCCESS;
}

static efi_status_t allocate_pool(uint32_t type, uint64_t size, void **ret_buffer)
{
	*ret_buffer = malloc(size);
	return EFI_SUCCESS;
}

static efi_status_t create_event(uint32_t type, uint64_t level,
				 void (*notify)(efi_event_t event, void *context), void *context,
				 efi_event_t *ret_event)
{
	assert_int_equal(type, EFI_EVENT_EXIT_BOOT_SERVICES);
	machine.exit_boot_services = notify;
	machine.events++;
	return EFI_SUCCESS;
}

static efi_status_t close_event(efi_event_t event)
{
	machine.events--;
	return EFI_SUCCESS;
}

static efi_status_t config_read(struct efi_pci_io *pci, uint32_t width, uint32_t offset,
				uint64_t count, void *buffer)
{
	assert_int_equal(offset, 0);
	memcpy(buffer, &machine.pci_id, sizeof(machine.pci_id));
	return EFI_SUCCESS;
}

static struct efi_pci_io pci = { .config_read = config_read };

static efi_status_t open_protocol(efi_handle_t handle, const struct guid *protocol,
				  void **ret_interface, efi_handle_t agent, efi_handle_t controller,
				  uint32_t attributes)
{
	assert_memory_equal(protocol, &efi_pci_io_guid, sizeof(*protocol));
	machine.opened++;
	*ret_interface = &pci;
	return EFI_SUCCESS;
}

static efi_status_t close_protocol(efi_handle_t handle, const struct guid *protocol,
				   efi_handle_t agent, efi_handle_t controller)
{
	machine.opened--;
	return EFI_SUCCESS;
}

static efi_status_t install_protocols(efi_handle_t *handle, ...)
{
	const struct guid *protocol;
	va_list list;

	va_start(list, handle);
	protocol = va_arg(list, const struct guid *);
	if (memcmp(protocol, &efi_scsi_guid, sizeof(*protocol)) == 0)
		machine.scsi = va_arg(list, struct efi_scsi *);
	else
		machine.binding = va_arg(list, struct efi_driver_binding *);
	assert_null(va_arg(list, void *));
	va_end(list);
	return EFI_SUCCESS;
}

static efi_status_t uninstall_protocols(efi_handle_t handle, ...)
{
	machine.scsi = NULL;
	return EFI_SUCCESS;
}

static const struct efi_boot_services services = {
	.raise_tpl = raise_tpl,
	.restore_tpl = restore_tpl,
	.allocate_pages = allocate_pages,
	.free_pages = free_pages,
	.allocate_pool = allocate_pool,
	.create_event = create_event,
	.close_event = close_event,
	.open_protocol = open_protocol,
	.close_protocol = close_protocol,
	.install_protocols = install_protocols,
	.uninstall_protocols = uninstall_protocols,
};

/* ---- The host ---- */

static struct {
	struct storvsp_packet answer;
	struct storvsp_srb asked;
	bool silent;
} disk;

static void offer(uint8_t last_byte, uint32_t relid)
{
	struct vmbus_message_offer_channel message = {
		.header.type = VMBUS_MESSAGE_OFFER_CHANNEL,
		.type = storvsc_device_type,
		.relid = relid,
		.connection_id = CONNECTION_ID,
	};

	message.instance.bytes[15] = last_byte;
	client_host_post(&message, sizeof(message));
}

/* One controller whose number is none, and number 2. */
static bool posted(const void *message, size_t size)
{
	const struct vmbus_message_header delivered = {
		.type = VMBUS_MESSAGE_ALL_OFFERS_DELIVERED
	};
	const struct vmbus_message_header *header = message;

	machine.unloaded |= header->type == VMBUS_MESSAGE_UNLOAD;
	if (header->type != VMBUS_MESSAGE_REQUEST_OFFERS)
		return false;
	offer(0x7f, CLIENT_HOST_RELID + 1);
	offer(2, CLIENT_HOST_RELID);
	client_host_post(&delivered, sizeof(delivered));
	return true;
}

/* LUNs 0, 3 and 63; other numbers lead to no disk. */
static void report_luns(uint8_t *data)
{
	static const uint8_t luns[][2] = { { 0, 3 }, { 0, 0 }, { 0, 64 }, { 1, 1 }, { 0, 63 } };

	scsi_put_32(data, 8 * ARRAY_SIZE(luns));
	for (size_t i = 0; i < ARRAY_SIZE(luns); i++)
		memcpy(data + 8 + 8 * i, luns[i], 2);
}

static void execute(const struct ring_packet *packet, const struct storvsp_packet *request,
		    struct storvsp_packet *answer)
{
	const struct ring_gpa_direct *direct = packet->extension;
	const struct ring_gpa_range *range = (const void *)(direct + 1);
	uint8_t *data;

	disk.asked = request->srb;
	if (packet->type != RING_PACKET_GPA_DIRECT)
		return;
	data = machine_address(range->pfns[0] * RING_PAGE_SIZE + range->byte_offset);
	answer->srb.transfer_length = request->srb.transfer_length;
	if (request->srb.cdb[0] == SCSI_REPORT_LUNS)
		report_luns(data);
	else if (request->srb.cdb[0] == SCSI_READ_16)
		memset(data, 0x5a, request->srb.transfer_length);
}

static void run_host(void)
{
	const struct ring_packet *packet;

	while ((packet = client_host_receive())) {
		struct storvsp_packet request, answer = disk.answer;

		memcpy(&request, packet->payload, sizeof(request));
		if (request.operation == STORVSP_EXECUTE_SRB)
			execute(packet, &request, &answer);
		if (!disk.silent)
			(void)client_host_complete(packet->transaction_id, &answer, sizeof(answer));
	}
}

static efi_status_t start(void)
{
	return machine.binding->start(machine.binding, &pci, NULL);
}

static int setup(void **state)
{
	const struct efi_system_table system = { .boot_services = &services };

	memset(&machine, 0, sizeof(machine));
	memset(&disk, 0, sizeof(disk));
	disk.answer.operation = STORVSP_COMPLETE_IO;
	disk.answer.srb.srb_status = STORVSP_SRB_SUCCESS;
	machine.hypervisor = true;
	machine.pci_id = EFI_MACHINE_PCI_ID;
	client_host_reset(&storvsc_device_type);
	client_host.posted = posted;
	client_host.signalled = run_host;
	assert_int_equal(efi_main(&machine, &system), EFI_SUCCESS);
	assert_non_null(machine.binding);
	return 0;
}

static int setup_started(void **state)
{
	setup(state);
	assert_int_equal(start(), EFI_SUCCESS);
	assert_non_null(machine.scsi);
	return 0;
}

static int teardown(void **state)
{
	disk.silent = false;
	if (machine.scsi)
		assert_int_equal(machine.binding->stop(machine.binding, &pci, 0, NULL),
				 EFI_SUCCESS);
	assert_int_equal(machine.pages, 0);
	assert_int_equal(machine.opened, 0);
	assert_int_equal(machine.events, 0);
	assert_int_equal(machine.level, 0);
	assert_false(machine.hypercalls);
	return 0;
}

/* ---- The driver ---- */

static void it_takes_its_own_function_alone(void **state)
{
	assert_int_equal(machine.binding->supported(machine.binding, &pci, NULL), EFI_SUCCESS);
	machine.pci_id = 0x12378086;
	assert_int_equal(machine.binding->supported(machine.binding, &pci, NULL), EFI_UNSUPPORTED);
}

static void without_a_hypervisor_it_does_not_start(void **state)
{
	machine.hypervisor = false;
	assert_int_equal(start(), EFI_DEVICE_ERROR);
	assert_null(machine.scsi);
}

static bool silent(const void *message, size_t size)
{
	return true;
}

static void a_host_without_vmbus_is_given_up(void **state)
{
	client_host.posted = silent;
	assert_int_equal(start(), EFI_DEVICE_ERROR);
}

static void the_system_finds_vmbus_as_it_was(void **state)
{
	machine.exit_boot_services(NULL, NULL);
	assert_true(machine.unloaded);
	assert_true(machine.handed_over);
	assert_false(machine.hypercalls);
	assert_false(client_host.open);
}

/* A host that says no more must not keep a system from starting. */
static void a_host_that_is_silent_is_left(void **state)
{
	client_host.posted = silent;
	machine.exit_boot_services(NULL, NULL);
	assert_true(machine.handed_over);
	client_host.posted = posted;
}

/* ---- What the firmware asks of it ---- */

static void all_luns_are_found(void **state)
{
	static const uint64_t luns[] = { 0, 3, 63 };
	uint8_t bytes[EFI_SCSI_TARGET_SIZE], *target = bytes;
	uint64_t lun = 0;

	memset(bytes, 0xff, sizeof(bytes));
	for (size_t i = 0; i < ARRAY_SIZE(luns); i++) {
		assert_int_equal(machine.scsi->next_lun(machine.scsi, &target, &lun), EFI_SUCCESS);
		assert_int_equal(bytes[0], 2);
		assert_int_equal(lun, luns[i]);
	}
	assert_int_equal(machine.scsi->next_lun(machine.scsi, &target, &lun), EFI_NOT_FOUND);
	lun = 1;
	assert_int_equal(machine.scsi->next_lun(machine.scsi, &target, &lun),
			 EFI_INVALID_PARAMETER);
	memset(bytes, 0xff, sizeof(bytes));
	assert_int_equal(machine.scsi->next_target(machine.scsi, &target), EFI_SUCCESS);
	assert_int_equal(bytes[0], 2);
	assert_int_equal(machine.scsi->next_target(machine.scsi, &target), EFI_NOT_FOUND);
}

static void a_path_leads_to_its_disk(void **state)
{
	uint8_t bytes[EFI_SCSI_TARGET_SIZE] = { 2 }, *target = bytes;
	struct efi_device_path *path;
	uint64_t lun = 0;

	assert_int_equal(machine.scsi->build_path(machine.scsi, target, 1, &path), EFI_NOT_FOUND);
	assert_int_equal(machine.scsi->build_path(machine.scsi, target, 3, &path), EFI_SUCCESS);
	memset(bytes, 0, sizeof(bytes));
	assert_int_equal(machine.scsi->parse_path(machine.scsi, path, &target, &lun), EFI_SUCCESS);
	assert_int_equal(bytes[0], 2);
	assert_int_equal(lun, 3);
	((struct efi_scsi_path *)path)->lun = 4;
	assert_int_equal(machine.scsi->parse_path(machine.scsi, path, &target, &lun),
			 EFI_NOT_FOUND);
	path->sub_type = 1;
	assert_int_equal(machine.scsi->parse_path(machine.scsi, path, &target, &lun),
			 EFI_UNSUPPORTED);
	free(path);
}

static const uint8_t target_2[EFI_SCSI_TARGET_SIZE] = { 2 };

static struct efi_scsi_packet read_packet(void *buffer, uint32_t size, uint8_t *cdb, void *sense)
{
	cdb[0] = SCSI_READ_16;
	return (struct efi_scsi_packet){ .in = buffer,
					 .in_length = size,
					 .cdb = cdb,
					 .cdb_length = 16,
					 .sense = sense,
					 .sense_length = 18 };
}

static void a_read_brings_what_is_there(void **state)
{
	uint8_t *buffer, cdb[16] = { 0 }, sense[18];
	struct efi_scsi_packet packet;
	void *memory;

	assert_int_equal(posix_memalign(&memory, 4096, 8192), 0);
	buffer = memory;
	packet = read_packet(buffer + 512, 1024, cdb, sense);
	assert_int_equal(machine.scsi->pass(machine.scsi, target_2, 3, &packet, NULL), EFI_SUCCESS);
	assert_int_equal(packet.in_length, 1024);
	assert_int_equal(packet.sense_length, 0);
	assert_int_equal(packet.adapter_status, EFI_SCSI_ADAPTER_OK);
	assert_int_equal(buffer[512], 0x5a);
	assert_int_equal(disk.asked.lun, 3);
	assert_int_equal(disk.asked.data_in, STORVSP_DIRECTION_IN);
	packet = read_packet(buffer, 3u << 20, cdb, sense);
	assert_int_equal(machine.scsi->pass(machine.scsi, target_2, 3, &packet, NULL),
			 EFI_BAD_BUFFER_SIZE);
	assert_int_equal(packet.in_length, 2u << 20);
	packet.direction = EFI_SCSI_WRITE;
	packet.out = buffer;
	packet.out_length = 512;
	assert_int_equal(machine.scsi->pass(machine.scsi, target_2, 3, &packet, NULL), EFI_SUCCESS);
	assert_int_equal(disk.asked.data_in, STORVSP_DIRECTION_OUT);
	free(memory);
}

static void sense_data_are_told(void **state)
{
	uint8_t cdb[16] = { 0 }, sense[18] = { 0 };
	struct efi_scsi_packet packet = { .cdb = cdb, .cdb_length = 6, .sense = sense };

	packet.sense_length = sizeof(sense);
	disk.answer.srb.srb_status = STORVSP_SRB_AUTOSENSE_VALID | 0x04;
	disk.answer.srb.scsi_status = 0x02;
	disk.answer.srb.sense_length = 18;
	disk.answer.srb.sense[2] = 0x02;
	assert_int_equal(machine.scsi->pass(machine.scsi, target_2, 0, &packet, NULL), EFI_SUCCESS);
	assert_int_equal(packet.target_status, 0x02);
	assert_int_equal(packet.sense_length, 18);
	assert_int_equal(sense[2], 0x02);
	disk.answer.srb.srb_status = 0x04;
	disk.answer.srb.scsi_status = 0;
	assert_int_equal(machine.scsi->pass(machine.scsi, target_2, 0, &packet, NULL),
			 EFI_DEVICE_ERROR);
}

static void wrong_requests_are_refused(void **state)
{
	uint8_t cdb[32] = { 0 }, buffer[512];
	struct efi_scsi_packet packet = { .cdb = cdb, .cdb_length = 6 };

	assert_int_equal(machine.scsi->pass(machine.scsi, target_2, 1, &packet, NULL),
			 EFI_INVALID_PARAMETER);
	assert_int_equal(machine.scsi->pass(machine.scsi, target_2, UINT64_MAX, &packet, NULL),
			 EFI_INVALID_PARAMETER);
	packet.cdb_length = 32;
	assert_int_equal(machine.scsi->pass(machine.scsi, target_2, 0, &packet, NULL),
			 EFI_INVALID_PARAMETER);
	packet = (struct efi_scsi_packet){ .cdb = cdb, .cdb_length = 6, .in_length = 512 };
	assert_int_equal(machine.scsi->pass(machine.scsi, target_2, 0, &packet, NULL),
			 EFI_INVALID_PARAMETER);
	packet.in = buffer;
	packet.direction = 2;
	assert_int_equal(machine.scsi->pass(machine.scsi, target_2, 0, &packet, NULL),
			 EFI_UNSUPPORTED);
}

static void a_disk_that_is_silent_times_out(void **state)
{
	uint8_t cdb[16] = { 0 };
	struct efi_scsi_packet packet = { .cdb = cdb, .cdb_length = 6 };

	disk.silent = true;
	assert_int_equal(machine.scsi->pass(machine.scsi, target_2, 0, &packet, NULL), EFI_TIMEOUT);
	assert_int_equal(packet.adapter_status, EFI_SCSI_ADAPTER_TIMEOUT);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(it_takes_its_own_function_alone, setup, teardown),
		cmocka_unit_test_setup_teardown(without_a_hypervisor_it_does_not_start, setup,
						teardown),
		cmocka_unit_test_setup_teardown(a_host_without_vmbus_is_given_up, setup, teardown),
		cmocka_unit_test_setup_teardown(the_system_finds_vmbus_as_it_was, setup_started,
						teardown),
		cmocka_unit_test_setup_teardown(a_host_that_is_silent_is_left, setup_started,
						teardown),
		cmocka_unit_test_setup_teardown(all_luns_are_found, setup_started, teardown),
		cmocka_unit_test_setup_teardown(a_path_leads_to_its_disk, setup_started, teardown),
		cmocka_unit_test_setup_teardown(a_read_brings_what_is_there, setup_started,
						teardown),
		cmocka_unit_test_setup_teardown(sense_data_are_told, setup_started, teardown),
		cmocka_unit_test_setup_teardown(wrong_requests_are_refused, setup_started,
						teardown),
		cmocka_unit_test_setup_teardown(a_disk_that_is_silent_times_out, setup_started,
						teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
