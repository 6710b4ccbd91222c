import json
import os
import re
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
import urllib.request
import zipfile
from pathlib import Path, PurePosixPath

import pytest

from shelfwise import distribution, local, node
from shelfwise.jdk import Jdk, choose_jdk, find_jdks
from shelfwise.machine import Account, cache_folder, how_to_install, is_free, reaches

FULL = "java.base java.compiler jdk.attach jdk.jdi"


def quiet(_: str) -> None: ...


def make_jdk(home: Path, version: str, modules: str | None = FULL, tools: tuple[str, ...] = ("java", "javac")) -> Path:
    (home / "bin").mkdir(parents=True)
    for tool in tools:
        listing = "\n".join(f"{module}@{version}" for module in FULL.split())
        (home / "bin" / tool).write_text(f"#!/bin/sh\necho '{listing}'\n")
        (home / "bin" / tool).chmod(0o755)
    if modules is not None:
        (home / "release").write_text(f'IMPLEMENTOR="x"\nJAVA_VERSION="{version}"\nMODULES="{modules}"\n')
    return home


@pytest.fixture
def folder():
    """A folder that the server's account can enter, unlike pytest's own when root runs the tests."""
    made = Path(tempfile.mkdtemp(prefix="shelfwise-local-")).resolve()
    made.chmod(0o755)
    yield made
    shutil.rmtree(made, ignore_errors=True)


@pytest.fixture
def no_java():
    return {"PATH": "", "ES_JAVA_HOME": "/nonexistent"}


def test_every_full_jdk_is_found_once(tmp_path):
    old = make_jdk(tmp_path / "jvm" / "seventeen", "17.0.15")
    new = make_jdk(tmp_path / "jvm" / "twenty-one", "21.0.2")
    (tmp_path / "jvm" / "default").symlink_to(old)
    found = find_jdks({"JAVA_HOME": str(new), "PATH": str(old / "bin")}, [f"{tmp_path}/jvm/*"])
    assert found == [Jdk(new, 21), Jdk(old, 17)]


def test_a_runtime_without_the_compiler_or_without_attach_is_not_a_full_jdk(tmp_path):
    make_jdk(tmp_path / "runtime", "21.0.2", tools=("java",))
    make_jdk(tmp_path / "linked", "21.0.2", modules="java.base java.compiler")
    assert find_jdks({"PATH": ""}, [f"{tmp_path}/*"]) == []


def test_a_jdk_without_a_release_file_is_asked(tmp_path):
    home = make_jdk(tmp_path / "jdk", "25-ea", modules=None)
    assert find_jdks({"ES_JAVA_HOME": str(home)}) == [Jdk(home, 25)]


def test_es_java_home_is_the_only_one_looked_at(tmp_path):
    make_jdk(tmp_path / "a", "21")
    named = make_jdk(tmp_path / "b", "17")
    assert find_jdks({"ES_JAVA_HOME": str(named), "PATH": ""}, [f"{tmp_path}/*"]) == [Jdk(named, 17)]


@pytest.mark.parametrize(
    ("there", "oldest", "chosen"),
    [
        ([17, 21, 25], 21, 25),
        ([17, 21, 25], 17, 25),
        ([17, 30], 17, 17),  # one that was tried goes before one newer than any that was
        ([30, 28], 21, 28),
        ([17], 21, None),
        ([], 17, None),
    ],
)
def test_the_newest_tried_jdk_is_chosen(there, oldest, chosen):
    jdk = choose_jdk([Jdk(Path(str(major)), major) for major in there], oldest)
    assert (jdk and jdk.major) == chosen


def test_with_java_17_alone_the_older_server_is_taken_and_said(tmp_path):
    said: list[str] = []
    jdk = Jdk(tmp_path, 17)
    taken, _ = local._choose(None, [jdk], {"PATH": ""}, said.append)
    assert taken.version == "8.19.8"
    assert "8.19.8" in said[0]
    assert "17" in said[0]
    assert local._choose(None, [jdk, Jdk(tmp_path, 21)], {"PATH": ""}, said.append)[0].version == "9.4.3"
    assert len(said) == 1


@pytest.mark.parametrize(("majors", "version"), [([17], "8.19.8"), ([17, 25], "9.4.3")])
def test_what_start_takes_can_be_asked_for_the_client_that_talks_to_it(majors, version, tmp_path, monkeypatch):
    monkeypatch.setattr(local, "find_jdks", lambda env: [Jdk(tmp_path, major) for major in majors])
    monkeypatch.setattr(local, "server_account", lambda: None)
    assert local.chosen_version() == version


def test_an_asked_version_without_its_java_names_what_is_there_and_the_older_server(tmp_path):
    with pytest.raises(
        local.LocalServerError, match=r"9\.4\.3 needs a full JDK of 21 .* found 17 in .*--version 8\.19\.8"
    ):
        local._choose("9.4.3", [Jdk(tmp_path, 17)], {"PATH": ""}, quiet)


def test_without_java_one_line_says_what_will_do(folder, no_java):
    with pytest.raises(local.LocalServerError) as error:
        local.start(data=folder / "server", env=no_java, say=quiet)
    assert "\n" not in str(error.value)
    assert "JDK of 17 or later" in str(error.value)
    assert "ELASTICSEARCH_URL" in str(error.value)
    assert "docker compose up -d elasticsearch" in str(error.value)
    assert not (folder / "server" / "server.json").exists()


def test_without_maven_one_line_says_what_will_do(folder):
    wanted, jdk = distribution.DISTRIBUTIONS[0], Jdk(Path("/nonexistent"), 21)
    with pytest.raises(local.LocalServerError, match=r"(?s)Maven .*PATH.*ELASTICSEARCH_URL[^\n]*$"):
        distribution.provide(wanted, folder, jdk, {"PATH": ""}, quiet)
    assert list((folder / "elasticsearch").iterdir()) == [folder / "elasticsearch" / "lock"]


@pytest.mark.parametrize(
    ("installer", "java", "command"),
    [
        ("apt-get", 17, "apt-get install -y default-jdk-headless maven"),
        ("apt-get", 21, "apt-get install -y openjdk-21-jdk-headless maven"),
        ("dnf", 21, "dnf install -y java-21-openjdk-devel maven"),
        ("brew", 21, "`brew install openjdk@21 maven`"),
    ],
)
def test_the_install_command_is_this_machines(tmp_path, installer, java, command):
    (tmp_path / installer).write_text("#!/bin/sh\n")
    (tmp_path / installer).chmod(0o755)
    assert command in how_to_install({"PATH": str(tmp_path)}, java)


def test_a_maven_that_fails_is_quoted_and_leaves_nothing(folder):
    (folder / "mvn").write_text("#!/bin/sh\necho '[ERROR] Unknown host example.invalid'\necho '[ERROR] more'\nexit 1\n")
    (folder / "mvn").chmod(0o755)
    env = {"PATH": f"{folder}:/usr/bin:/bin"}
    with pytest.raises(local.LocalServerError, match=r"Unknown host example\.invalid.*settings\.xml"):
        distribution.provide(distribution.DISTRIBUTIONS[0], folder / "cache", Jdk(folder, 21), env, quiet)
    assert [entry.name for entry in (folder / "cache" / "elasticsearch").iterdir()] == ["lock"]


def test_an_archive_that_is_not_the_pinned_one_is_not_used(folder):
    script = """#!/bin/sh
for word in "$@"; do case $word in -Dmaven.repo.local=*) to=${word#*=};; esac; done
to=$to/org/elasticsearch/distribution/integ-test-zip/elasticsearch/9.4.3
mkdir -p $to && echo changed > $to/elasticsearch-9.4.3.zip
"""
    (folder / "mvn").write_text(script)
    (folder / "mvn").chmod(0o755)
    env = {"PATH": f"{folder}:/usr/bin:/bin"}
    with pytest.raises(local.LocalServerError, match=r"expected SHA-256 adde840e.*received"):
        distribution.provide(distribution.DISTRIBUTIONS[0], folder / "cache", Jdk(folder, 21), env, quiet)
    assert not (folder / "cache" / "elasticsearch" / "9.4.3").exists()


def test_a_half_assembled_distribution_is_not_used(folder):
    home = folder / "elasticsearch" / "9.4.3"
    (home / "bin").mkdir(parents=True)
    (home / "bin" / "elasticsearch").touch()
    (folder / "elasticsearch" / ".fetch-killed").mkdir()
    with pytest.raises(local.LocalServerError, match="Maven"):
        distribution.provide(distribution.DISTRIBUTIONS[0], folder, Jdk(folder, 21), {"PATH": ""}, quiet)
    assert not home.exists()
    assert not (folder / "elasticsearch" / ".fetch-killed").exists()


def test_a_whole_distribution_needs_no_maven(folder):
    home = folder / "elasticsearch" / "9.4.3"
    for name in ("bin/elasticsearch", *(f"modules/{m}/plugin-descriptor.properties" for m in distribution.MODULES)):
        (home / name).parent.mkdir(parents=True, exist_ok=True)
        (home / name).touch()
    assert distribution.provide(distribution.DISTRIBUTIONS[0], folder, Jdk(folder, 21), {"PATH": ""}, quiet) == home


def test_unpacking_keeps_execute_bits_and_leaves_out_what_is_not_wanted(tmp_path):
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        for name, mode in (("es/bin/run", 0o100755), ("es/config/x", 0o100660), ("es/other", 0o100644)):
            member = zipfile.ZipInfo(name)
            member.external_attr = mode << 16
            archive.writestr(member, name)
    unpack_to = tmp_path / "out"
    distribution.unpack(tmp_path / "a.zip", unpack_to, lambda path: path if path.name != "other" else None)
    modes = {str(p.relative_to(unpack_to)): p.stat().st_mode & 0o777 for p in unpack_to.rglob("*") if p.is_file()}
    assert modes == {"es/bin/run": 0o755, "es/config/x": 0o644}


@pytest.mark.parametrize("name", ["../outside", "es/../../outside", "/outside"])
def test_a_member_that_would_land_outside_is_refused(tmp_path, name):
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.writestr(name, "x")
    with pytest.raises(local.LocalServerError, match="outside"):
        distribution.unpack(tmp_path / "a.zip", tmp_path / "out", lambda path: path)
    assert not (tmp_path / "outside").exists()


def test_a_link_in_an_archive_is_refused(tmp_path):
    link = zipfile.ZipInfo("es/link")
    link.external_attr = 0o120777 << 16
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.writestr(link, "/etc")
    with pytest.raises(local.LocalServerError, match="es/link"):
        distribution.unpack(tmp_path / "a.zip", tmp_path / "out", PurePosixPath)


def test_what_is_not_a_zip_is_said_to_be_none(tmp_path):
    (tmp_path / "a.zip").write_text("<html>")
    with pytest.raises(local.LocalServerError, match=r"a\.zip: expected a zip archive"):
        distribution.unpack(tmp_path / "a.zip", tmp_path / "out", PurePosixPath)


def test_the_cache_is_the_first_folder_that_the_servers_account_reaches(tmp_path):
    tmp_path.chmod(0o755)
    (tmp_path / "closed").mkdir(mode=0o700)
    (tmp_path / "xdg").mkdir()
    env = {"HOME": str(tmp_path / "home"), "XDG_CACHE_HOME": str(tmp_path / "xdg")}
    assert cache_folder(env, None) == tmp_path / "xdg" / "shelfwise"
    assert cache_folder({**env, "XDG_CACHE_HOME": "relative"}, None) == tmp_path / "home" / ".cache" / "shelfwise"
    stranger = Account("stranger", 54321, 54321)
    assert not reaches(stranger, tmp_path / "closed" / "not" / "yet")
    closed = {"HOME": str(tmp_path / "closed"), "XDG_CACHE_HOME": str(tmp_path / "closed")}
    assert cache_folder(closed, stranger) == Path("/var/cache/shelfwise")


def test_a_data_folder_that_the_servers_account_cannot_enter_is_refused(folder):
    closed = folder / "closed"
    closed.mkdir(mode=0o700)
    with pytest.raises(local.LocalServerError, match=rf"stranger, who cannot enter {closed} on .*chmod o\+x {closed}`"):
        local._data_folder(closed / "data", {}, Account("stranger", 54321, 54321))


def test_a_file_in_the_place_of_the_data_folder_is_one_line(folder, no_java):
    (folder / "file").write_text("")
    with pytest.raises(local.LocalServerError, match=r"file.*choose another folder \(--data, XDG_CACHE_HOME\)"):
        local.start(data=folder / "file" / "data", env=no_java, say=quiet)


@pytest.mark.parametrize(
    ("wrong", "complaint"),
    [
        ({"version": "7.0.0"}, r"expected .* out of 9\.4\.3, 8\.19\.8, received 7\.0\.0"),
        ({"port": 0}, "expected a port from 1 to 65535, received 0"),
        ({"heap": "much"}, "expected a heap such as 1g .* received 'much'"),
    ],
)
def test_a_wrong_argument_says_what_was_expected(folder, wrong, complaint, no_java):
    with pytest.raises(local.LocalServerError, match=complaint):
        local.start(data=folder, env=no_java, say=quiet, **wrong)


def test_a_taken_port_is_an_error_when_it_was_asked_for(folder):
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        with (
            pytest.raises(local.LocalServerError, match=f"expected port {port} to be free"),
            local._port(port, folder, quiet),
        ):
            pass


def test_without_a_port_the_next_free_one_is_taken_and_said(folder, monkeypatch):
    with socket.create_server(("127.0.0.1", 0)) as listener:
        taken = listener.getsockname()[1]
        monkeypatch.setattr(local, "DEFAULT_PORT", taken)
        said: list[str] = []
        with local._port(None, folder, said.append) as port:
            assert taken < port < taken + 100
            assert is_free(port)
    [line] = said
    assert line.startswith(f"port {taken} is taken: using {port}; ")
    assert line.endswith(f" export ELASTICSEARCH_URL=http://127.0.0.1:{port}")


@pytest.mark.parametrize(
    "state",
    [
        "",
        '{"url": "http',
        "[]",
        json.dumps(
            {"url": "http://127.0.0.1:1", "version": "9.4.3", "pid": 2**22 + 1}
        ),  # beyond the largest pid of Linux
        json.dumps({"url": "http://127.0.0.1:1", "version": "9.4.3", "pid": os.getpid()}),  # alive, but another process
    ],
    ids=["empty", "cut off", "no object", "no process", "another process"],
)
def test_the_state_of_a_server_that_is_gone_is_no_server_and_stop_removes_it(folder, state):
    (folder / "server.json").write_text(state)
    said: list[str] = []
    assert local.status(folder) is None
    assert local.stop(folder, say=said.append) is None
    assert said == [f"no local Elasticsearch runs in {folder}"]
    assert not (folder / "server.json").exists()


def test_stopping_where_there_never_was_a_server_makes_no_folder(folder):
    assert local.stop(folder / "never", say=quiet) is None
    assert local.status(folder / "never") is None
    assert not (folder / "never").exists()


def test_what_a_killed_start_left_is_ended(folder):
    idle = [sys.executable, "-c", "import time; time.sleep(60)", f"-Enode.name={node.node_name(folder)}"]
    with subprocess.Popen(idle, start_new_session=True) as leftover:
        while leftover.pid not in node.processes_of(node.node_name(folder)):
            assert leftover.poll() is None
        assert local.stop(folder, say=quiet) is None
        assert leftover.wait(10) < 0


def test_a_process_that_will_not_end_is_killed_and_that_is_said(folder, monkeypatch):
    monkeypatch.setattr(node, "STOP_LIMIT", 0.5)
    stubborn = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print(flush=True); time.sleep(60)"
    command = [sys.executable, "-c", stubborn, f"-Enode.name={node.node_name(folder)}"]
    said: list[str] = []
    with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.readline()
        assert node.terminate(node.node_name(folder), said.append)
        assert process.wait(10) == -9
    assert "killing it" in said[0]


def test_the_cause_is_found_in_a_log_that_goes_on(tmp_path):
    log = tmp_path / "start.log"
    log.write_text(
        "[INFO ] starting\njava.lang.IllegalArgumentException: unknown setting [x]\n\tat org.elasticsearch.A\n"
        "ERROR: Elasticsearch did not exit normally - check the logs\n"
    )
    assert node._last_words(log) == f"java.lang.IllegalArgumentException: unknown setting [x] (all of it: {log})"


def get(url: str) -> dict:
    with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(url, timeout=10) as answer:
        return json.load(answer)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.fixture(scope="module")
def server():
    """A server with its own port and data, started by two threads at once; what each got, and the folder."""
    data = Path(tempfile.mkdtemp(prefix="shelfwise-local-")).resolve()
    data.chmod(0o755)
    port, version = free_port(), os.environ.get("SHELFWISE_TEST_ES_VERSION")
    got: list[local.LocalServer] = []

    def begin() -> None:
        got.append(local.start(version, port, data, "512m", say=quiet))

    threads = [threading.Thread(target=begin) for _ in range(2)]
    try:
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len(got) == 2, "a start failed"
        yield got, port, data
    finally:
        local.stop(data, say=quiet)
        shutil.rmtree(data, ignore_errors=True)


@pytest.mark.es
def test_two_starts_at_once_are_one_server_and_a_third_is_the_same(server):
    (first, second), port, data = server
    assert first == second == local.status(data)
    assert local.start(data=data, env={"PATH": ""}, say=quiet) == first
    assert node.processes_of(node.node_name(data)) == [first.pid]
    assert first.url == f"http://127.0.0.1:{port}"


@pytest.mark.es
def test_the_server_is_of_the_version_it_says_with_a_basic_licence(server):
    (first, _), _, _ = server
    assert get(first.url)["version"]["number"] == first.version
    assert get(f"{first.url}/_license")["license"]["type"] == "basic"


@pytest.mark.es
def test_another_version_or_port_in_the_same_folder_is_refused(server):
    (first, _), port, data = server
    other = next(d.version for d in distribution.DISTRIBUTIONS if d.version != first.version)
    with pytest.raises(
        local.LocalServerError, match=rf"{re.escape(other)}, but {re.escape(first.version)} runs in {data}"
    ):
        local.start(other, data=data, say=quiet)
    with pytest.raises(local.LocalServerError, match=f"on port {port + 1}, but .* stop it first"):
        local.start(port=port + 1, data=data, say=quiet)


@pytest.mark.es
@pytest.mark.skipif(not Path("/proc/self/net/tcp").exists(), reason="reads /proc")
def test_the_server_listens_on_loopback_only_and_not_as_root(server):
    (first, _), port, _ = server
    process = Path("/proc", str(first.pid))
    assert process.stat().st_uid != 0
    sockets = {str(fd.readlink()) for fd in (process / "fd").iterdir() if fd.is_symlink()}
    rows = [line.split() for name in ("tcp", "tcp6") for line in (process / "net" / name).read_text().splitlines()[1:]]
    listening = [row[1] for row in rows if row[3] == "0A" and f"socket:[{row[9]}]" in sockets]
    loopback = {"0100007F", "0000000000000000FFFF00000100007F"}
    assert {address.split(":")[0] for address in listening} <= loopback
    assert port in {int(address.split(":")[1], 16) for address in listening}


@pytest.mark.es
def test_a_server_beside_another_stops_alone_and_leaves_no_process_and_no_state(server, folder):
    (first, _), _, data = server
    second = local.start(first.version, free_port(), folder, "512m", say=quiet)
    assert second.pid != first.pid
    assert get(second.url)["cluster_uuid"] != get(first.url)["cluster_uuid"]
    assert local.stop(folder, say=quiet) == second
    assert node.processes_of(node.node_name(folder)) == []
    assert local.status(folder) is None
    assert not (folder / "server.json").exists()
    assert local.status(data) == first
