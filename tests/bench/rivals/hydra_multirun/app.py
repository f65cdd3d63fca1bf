"""One seed per Hydra job, every step logged to MLflow: ``python app.py -m seed=0,1,2``. Knows nothing of the suite."""

from __future__ import annotations

import hydra
import mlflow
import torch
from omegaconf import DictConfig, OmegaConf
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split
from torch import nn


@hydra.main(version_base=None, config_path=".", config_name="config")
def main(cfg: DictConfig) -> None:
    torch.manual_seed(cfg.seed)
    torch.set_num_threads(1)
    images, labels = load_digits(return_X_y=True)
    train_x, test_x, train_y, test_y = train_test_split(images / 16, labels, test_size=0.2, random_state=0, stratify=labels)
    train_x, test_x = (torch.tensor(part, dtype=torch.float32) for part in (train_x, test_x))
    train_y, test_y = torch.tensor(train_y), torch.tensor(test_y)

    model = nn.Sequential(nn.Linear(64, cfg.hidden), nn.ReLU(), nn.Linear(cfg.hidden, 10))
    optimizer = torch.optim.SGD(model.parameters(), lr=cfg.lr)
    criterion = nn.CrossEntropyLoss()

    mlflow.set_tracking_uri(cfg.tracking_uri)
    mlflow.set_experiment("digits")
    with mlflow.start_run(run_name=f"seed={cfg.seed}"):
        mlflow.log_params(OmegaConf.to_container(cfg))
        step = 0
        while step < cfg.steps:
            for chosen in torch.randperm(len(train_x)).split(cfg.batch):
                if len(chosen) < cfg.batch or step == cfg.steps:
                    break
                optimizer.zero_grad()
                loss = criterion(model(train_x[chosen]), train_y[chosen])
                loss.backward()
                optimizer.step()
                mlflow.log_metric("train_loss", loss.item(), step=step)
                step += 1
        with torch.no_grad():
            accuracy = (model(test_x).argmax(1) == test_y).float().mean().item()
        mlflow.log_metric("test_accuracy", accuracy, step=step)


if __name__ == "__main__":
    main()
