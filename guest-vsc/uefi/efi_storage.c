/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* VMBus and its SCSI controllers for the firmware. */
#include "guest-vsc/uefi/efi_storage.h"

#include "guest-vsc/hypercall.h"
#include "guest-vsc/machine.h"
#include "guest-vsc/memory.h"
#include "guest-vsc/synic.h"
#include "guest-vsc/uefi/efi.h"
#include "guest-vsc/vmbus_client.h"

#define CONTROLLERS_MAX 4
#define LUNS_MAX        (EFI_STORAGE_LUN_LAST + 1)
#define RING_PAGES      40 /* of both rings */
#define REPORT_SIZE     (8 + 8 * LUNS_MAX)

struct efi_controller {
	bool open;
	uint64_t luns; /* a bit for each */
	struct storvsc_client client;
};

static struct {
	bool connected;
	uint64_t rings; /* pages of all controllers; 0: not allocated */
	struct vmbus_client bus;
	struct efi_controller controllers[CONTROLLERS_MAX];
	uint8_t report[REPORT_SIZE];
} storage;

static bool hypervisor_is_there(void)
{
	struct machine_cpuid features = machine_cpuid(1), vendor;

	if (!(features.ecx & HV_CPUID_HYPERVISOR_ECX31))
		return false;
	vendor = machine_cpuid(HV_CPUID_VENDOR_AND_MAX);
	return vendor.ebx == HV_CPUID_VENDOR_EBX && vendor.ecx == HV_CPUID_VENDOR_ECX &&
	       vendor.edx == HV_CPUID_VENDOR_EDX;
}

static bool open_bus(void)
{
	if (!hypervisor_is_there() || !hypercall_enable())
		return false;
	if (!synic_enable_polled(VMBUS_SINT))
		return false;
	vmbus_client_init(&storage.bus);
	storage.connected = vmbus_client_connect(&storage.bus, vmbus_client_versions,
						 vmbus_client_version_count) == 0;
	return storage.connected && vmbus_client_request_offers(&storage.bus) == 0;
}

/* What is not a LUN of a byte's is none that there is a disk at. */
static void take_report(struct efi_controller *controller, uint32_t size)
{
	uint32_t length = scsi_get_32(storage.report);

	for (uint32_t at = 8; at + 8 <= MIN(size, 8 + length); at += 8)
		if (storage.report[at] == 0 && storage.report[at + 1] < LUNS_MAX)
			controller->luns |= UINT64_C(1) << storage.report[at + 1];
}

static void find_luns(struct efi_controller *controller)
{
	struct storvsc_request request = {
		.cdb = { SCSI_REPORT_LUNS },
		.cdb_length = 12,
		.direction = STORVSP_DIRECTION_IN,
		.buffer = storage.report,
		.size = REPORT_SIZE,
	};

	scsi_put_32(request.cdb + 6, REPORT_SIZE);
	if (storvsc_client_execute(&controller->client, &request) == 0 &&
	    storvsc_request_succeeded(&request))
		take_report(controller, MIN(request.transferred, (uint32_t)REPORT_SIZE));
}

/* The host's number of a controller is the last byte of its instance. */
static void open_controller(const struct vmbus_message_offer_channel *offer)
{
	unsigned number = offer->instance.bytes[sizeof(offer->instance.bytes) - 1];
	struct client_channel_memory rings = { .pages = RING_PAGES };
	struct efi_controller *controller;

	if (number >= CONTROLLERS_MAX || storage.controllers[number].open)
		return;
	controller = &storage.controllers[number];
	rings.address = machine_address(storage.rings + (uint64_t)number * RING_PAGES * 4096);
	controller->luns = 0;
	controller->open = storvsc_client_open(&controller->client, &storage.bus, offer,
					       STORVSP_VERSION_WIN10, rings) == 0;
	if (controller->open)
		find_luns(controller);
}

bool efi_storage_open(void)
{
	const struct vmbus_message_offer_channel *offer;

	if (storage.rings == 0 &&
	    efi_boot->allocate_pages(EFI_ALLOCATE_ANY_PAGES, EFI_BOOT_SERVICES_DATA,
				     CONTROLLERS_MAX * RING_PAGES, &storage.rings) != EFI_SUCCESS)
		return false;
	if (!open_bus()) {
		efi_storage_close();
		efi_storage_free();
		return false;
	}
	for (unsigned i = 0; (offer = vmbus_client_find(&storage.bus, &storvsc_device_type, 0, i));
	     i++)
		open_controller(offer);
	return true;
}

struct vmbus_client *efi_storage_bus(void)
{
	return &storage.bus;
}

/* A host that does not answer any more is left as it is. */
void efi_storage_close(void)
{
	for (unsigned i = 0; i < CONTROLLERS_MAX; i++) {
		if (storage.controllers[i].open &&
		    storvsc_client_close(&storage.controllers[i].client) != 0)
			break;
		storage.controllers[i].open = false;
	}
	if (storage.connected && vmbus_client_unload(&storage.bus) == 0)
		storage.connected = false;
	if (hypervisor_is_there()) {
		synic_disable(VMBUS_SINT);
		hypercall_disable();
	}
}

void efi_storage_free(void)
{
	if (storage.rings != 0)
		efi_boot->free_pages(storage.rings, CONTROLLERS_MAX * RING_PAGES);
	storage.rings = 0;
}

bool efi_storage_has(const struct efi_storage_place *place)
{
	return place->controller < CONTROLLERS_MAX && place->lun < LUNS_MAX &&
	       storage.controllers[place->controller].open &&
	       storage.controllers[place->controller].luns & UINT64_C(1) << place->lun;
}

bool efi_storage_next(const struct efi_storage_place *place, struct efi_storage_place *ret_next)
{
	unsigned at = place ? place->controller * LUNS_MAX + place->lun + 1 : 0;

	for (; at < CONTROLLERS_MAX * LUNS_MAX; at++) {
		*ret_next = (struct efi_storage_place){ at / LUNS_MAX, at % LUNS_MAX };
		if (efi_storage_has(ret_next))
			return true;
	}
	return false;
}

int efi_storage_execute(const struct efi_storage_place *place, struct storvsc_request *request)
{
	request->lun = (uint8_t)place->lun;
	return storvsc_client_execute(&storage.controllers[place->controller].client, request);
}
