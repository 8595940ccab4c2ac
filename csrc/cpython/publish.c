#include "publish.h"

/* Takes the reference. */
static int append(uintptr_t list, PyObject *object)
{
    int result = object ? PyList_Append((PyObject *)list, object) : -1;
    Py_XDECREF(object);
    return result;
}

int publish_types(PyType_Spec *specs, size_t n, uintptr_t list)
{
    PyGILState_STATE gil = PyGILState_Ensure();
    int result = 0;
    for (size_t i = 0; !result && i < n; i++)
        result = append(list, PyType_FromSpec(&specs[i]));
    PyErr_Clear(); /* the caller raises */
    PyGILState_Release(gil);
    return result;
}

int publish_functions(PyMethodDef *methods, size_t n, uintptr_t list)
{
    PyGILState_STATE gil = PyGILState_Ensure();
    int result = 0;
    for (size_t i = 0; !result && i < n; i++)
        result = append(list, PyCFunction_New(&methods[i], NULL));
    PyErr_Clear(); /* the caller raises */
    PyGILState_Release(gil);
    return result;
}
