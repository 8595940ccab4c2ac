"""For Django's runserver: a whole site, and its manage.py."""

import sys
import time

from django.conf import settings
from django.core.management import execute_from_command_line
from django.http import HttpRequest, JsonResponse
from django.urls import path

settings.configure(ALLOWED_HOSTS=["127.0.0.1"], DEBUG=True, ROOT_URLCONF=__name__, SECRET_KEY="not secret")


def answer(request: HttpRequest) -> JsonResponse:
    import shop_sites  # as the reloader's own process, which answers nothing, makes no keys

    time.sleep(0.002)
    return JsonResponse(shop_sites.answer())


urlpatterns = [path("", answer)]

if __name__ == "__main__":
    execute_from_command_line(sys.argv)
