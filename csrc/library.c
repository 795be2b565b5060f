/* library.c: what the library says of itself, and of the status of a call. */
#include "core.h"

EXPORT const char *pksm_version(void)
{
    return PKSM_VERSION;
}

EXPORT const char *pksm_status_text(int status)
{
    switch (status) {
    case PKSM_OK:
        return "no error";
    case PKSM_EINVAL:
        return "an argument can't be right";
    case PKSM_EPAGE:
        return "page number outside the store";
    case PKSM_EITEM:
        return "item id outside the table";
    case PKSM_EBUS:
        return "bytes of a page could not be read: a mapped file shrank";
    case PKSM_ETREE:
        return "a tree breaks its invariants";
    }
    return "unknown status";
}
